import { loadComponentSet } from "@k3s/components";
import { buildInfo } from "./build-info.ts";
import { readGoVersion } from "./go-version.ts";

/** The two lines that tools parse: our release, then the Go version of the bundled kube-apiserver and our own runtime's. */
export async function formatVersion(componentsDir: string): Promise<string> {
  const set = await loadComponentSet(componentsDir);
  const goVersion = await readGoVersion(set.path("kube-apiserver"));
  const commit = buildInfo.commit.slice(0, 8);
  return [
    `k3s version v${set.versions.kubernetes.text}+${buildInfo.release} (${commit})\n`,
    `go version ${goVersion} (kube-apiserver), node ${process.version}\n`,
  ].join("");
}
