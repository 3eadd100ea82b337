import type { Logger } from "@k3s/log";

/** What a server takes from the outside world besides its configuration. */
export interface ServerHost {
  readonly log: Logger;
  /** Folder of upstream programs, as the build leaves it. */
  readonly componentsDir: string;
  /** Folder of the manifests that belong to the release. */
  readonly manifestsDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What we were started with, for the record on the Node: command, settings of files, arguments; secrets are masked. */
  readonly args: readonly string[];
}
