import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

// What loadComponentSet insists on.
const PROGRAMS = [
  ...["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"],
  ...["containerd", "containerd-shim-runc-v2", "ctr", "runc"],
  ...["cni/bridge", "cni/host-local", "cni/loopback", "cni/portmap"],
];

/** Makes a component folder whose programs are shell scripts; `extra` adds programs. */
export async function writeComponentFolder(
  folder: string,
  script: string,
  extra: readonly string[] = [],
): Promise<void> {
  const version = (text: string) => {
    const [major, minor, patch] = text.split(".").map(Number);
    return { major, minor, patch, text };
  };
  const files = [...PROGRAMS, ...extra].map((name) => ({
    path: `bin/${name}`,
    size: script.length,
    mode: 0o755,
    sha256: createHash("sha256").update(script).digest("hex"),
    mtimeMs: 0,
    source: "test",
  }));
  const manifest = {
    format: 1,
    architecture: { x64: "amd64", arm64: "arm64" }[process.arch as string] ?? process.arch,
    versions: {
      kubernetes: version("1.20.2"),
      containerd: version("1.6.20"),
      runc: version("1.1.5"),
      cni: version("1.1.1"),
    },
    files,
    links: [],
  };
  await mkdir(join(folder, "bin/cni"), { recursive: true });
  await writeFile(join(folder, "components.json"), JSON.stringify(manifest));
  for (const { path } of files) await writeFile(join(folder, path), script, { mode: 0o755 });
}
