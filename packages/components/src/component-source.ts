import type { Manifest } from "./manifest.ts";

/** What a source fills a folder with, and how. */
export interface InstallTarget {
  /** Empty folder that receives the set. */
  readonly to: string;
  readonly manifest: Manifest;
  /** Told now and then, with bytes done and bytes in all, of what is not just linked. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where the upstream programs of this release are: a folder, or the executable itself. */
export interface ComponentSource {
  /** For messages. */
  readonly place: string;
  /** The folder, where programs can be run without being installed. */
  readonly folder: string | undefined;
  /** Rejects with ComponentError or PayloadError when there is none that can be used. */
  manifest(): Promise<Manifest>;
  /** Version of Go that the bundled kube-apiserver was built with, or `unknown`. */
  goVersion(): Promise<string>;
  /** Fills the folder with verified files that are on disk when this resolves. */
  install(target: InstallTarget): Promise<void>;
}
