import type { NodeHost } from "@k3s/node";

/** What a server takes from the outside world besides its configuration. */
export interface ServerHost extends NodeHost {
  /** The text of a manifest that belongs to the release. */
  readonly readManifest: (name: string) => Promise<string>;
}
