import { join } from "node:path";
import type { ComponentSource } from "./component-source.ts";
import { readGoVersion } from "./go-version.ts";
import { installFiles } from "./install-files.ts";
import { loadManifest } from "./manifest.ts";

/** A component folder as a source: its files are linked where that is possible. */
export function folderSource(folder: string): ComponentSource {
  return {
    place: folder,
    folder,
    manifest: () => loadManifest(folder),
    goVersion: () => readGoVersion(join(folder, "bin/kube-apiserver")),
    install: (target) => installFiles({ from: folder, ...target }),
  };
}
