import type { ComponentSource } from "@k3s/components";
import { buildInfo } from "./build-info.ts";

/** The two lines that tools parse: our release, then the Go version of the bundled kube-apiserver and our own runtime's. */
export async function formatVersion(components: ComponentSource): Promise<string> {
  const { versions } = await components.manifest();
  const commit = buildInfo.commit.slice(0, 8);
  return [
    `k3s version v${versions.kubernetes.text}+${buildInfo.release} (${commit})\n`,
    `go version ${await components.goVersion()} (kube-apiserver), node ${process.version}\n`,
  ].join("");
}
