import type { NodeHost } from "@k3s/node";

/** What a server takes from the outside world besides its configuration. */
export interface ServerHost extends NodeHost {
  /** Folder of the manifests that belong to the release. */
  readonly manifestsDir: string;
}
