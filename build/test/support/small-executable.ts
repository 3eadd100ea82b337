import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { loadManifest, type Manifest } from "@k3s/components";
import { buildProgram } from "../../src/build-program.ts";
import { packComponents } from "../../src/pack-components.ts";

const ROOT = join(import.meta.dirname, "../../..");
const NAMES = [
  ...["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"],
  ...["containerd", "containerd-shim-runc-v2", "ctr", "runc"],
  ...["cni/bridge", "cni/host-local", "cni/loopback", "cni/portmap"],
];
/** In the place of every upstream program: shows how it was called. */
const SCRIPT = `#!/bin/sh\necho "$0"\nfor arg in "$@"; do echo "arg=$arg"; done\nexit 7\n`;

/** A folder that everybody may use; it is gone after the test. */
export async function openFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-one-file-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A host tool that hosts may lack. */
const IPTABLES = `#!/bin/sh\necho "iptables v1.8.9 (nf_tables)"\n`;
const SCRIPTS = new Map([...NAMES.map((name) => [name, SCRIPT] as const), ["aux/iptables", IPTABLES]]);

/** The product as one file, with scripts in the place of the upstream programs. */
export async function smallExecutable(folder: string): Promise<string> {
  const program = await buildProgram(join(ROOT, "dist/lib/program"));
  const components = join(folder, "components");
  const licenses = join(folder, "licenses.txt");
  await writeFile(licenses, "the licences of all\n");
  const output = join(folder, "k3s");
  await packComponents({
    ...{ program: program.path, upstream: { components, manifest: await writeComponents(components) }, output },
    ...{ extras: [{ name: "licenses.txt", path: licenses }], isSmall: false, cacheDir: folder },
    progress: () => undefined,
  });
  return output;
}

async function writeComponents(folder: string): Promise<Manifest> {
  const version = (text: string) => ({ major: 1, minor: 30, patch: 2, text });
  const files = [...SCRIPTS].map(([name, script]) => ({
    ...{ path: `bin/${name}`, size: script.length, mode: 0o755, mtimeMs: 0, source: "test" },
    sha256: createHash("sha256").update(script).digest("hex"),
  }));
  const versions = Object.fromEntries(
    ["kubernetes", "containerd", "runc", "cni"].map((name) => [name, version("1.30.2")]),
  );
  const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as "x64" | "arm64"];
  for (const [name, script] of SCRIPTS) {
    const path = join(folder, "bin", name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, script, { mode: 0o755 });
  }
  await writeFile(
    join(folder, "components.json"),
    JSON.stringify({ format: 1, architecture, versions, files, links: [] }),
  );
  return await loadManifest(folder);
}
