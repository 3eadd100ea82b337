import { chmod, readdir, readlink, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@k3s/files";
import { elfArchitecture, hostArchitecture, type Architecture } from "./architecture.ts";
import { assertUsable } from "./component-set.ts";
import { ComponentError } from "./errors.ts";
import { MANIFEST_NAME, type Manifest, type ManifestFile, type ManifestLink } from "./manifest.ts";
import { findVersions } from "./program-versions.ts";
import { hashFile } from "./verify.ts";

/** Where a staged file came from, for the list. */
export interface Origin {
  readonly source: string;
  readonly version?: string;
}

export interface StagedSet {
  /** Folder laid out as a component folder; it becomes one in place. */
  readonly folder: string;
  readonly cniVersion: string;
  /** Answers for each path, e.g. `bin/kubelet`. */
  readonly originOf: (path: string) => Origin;
}

/** Looks at every staged file, asks the programs for their versions and writes `components.json`. */
export async function createSet({ folder, cniVersion, originOf }: StagedSet): Promise<Manifest> {
  await rm(join(folder, MANIFEST_NAME), { force: true });
  const { files: paths, links } = await listFolder(folder);
  const architecture = await commonArchitecture(folder, paths);
  const has = (name: string) => paths.includes(`bin/${name}`);
  const missing = ["kubelet", "containerd", "runc", "cni/bridge"].filter((name) => !has(name));
  if (missing.length > 0) throw ComponentError.missing(missing, folder);
  const optional = (["etcd", "crictl"] as const).filter(has);
  const files: ManifestFile[] = [];
  for (const path of paths) files.push(await describeFile(folder, path, originOf(path)));
  const versions = await findVersions({ binDir: join(folder, "bin"), optional, cniFallback: cniVersion });
  const manifest: Manifest = { format: 1, architecture, versions, files, links };
  assertUsable(manifest, folder);
  await writeFileAtomic(join(folder, MANIFEST_NAME), `${JSON.stringify(manifest, undefined, 2)}\n`, { mode: 0o644 });
  return manifest;
}

async function listFolder(folder: string): Promise<{ files: string[]; links: ManifestLink[] }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: string[] = [];
  const links: ManifestLink[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name).slice(folder.length + 1);
    if (entry.isFile()) files.push(path);
    else if (entry.isSymbolicLink()) links.push({ path, target: await readlink(join(folder, path)) });
  }
  return { files: files.sort(), links: links.sort((a, b) => (a.path < b.path ? -1 : 1)) };
}

async function describeFile(folder: string, path: string, origin: Origin): Promise<ManifestFile> {
  const full = join(folder, path);
  const mode = ((await stat(full)).mode & 0o111) === 0 ? 0o644 : 0o755;
  await chmod(full, mode);
  const { size, mtimeMs } = await stat(full);
  return { path, size, mode, sha256: await hashFile(full), mtimeMs, ...origin };
}

/** Rejects programs of another processor before anything tries to run them. */
async function commonArchitecture(folder: string, paths: readonly string[]): Promise<Architecture> {
  const host = hostArchitecture();
  if (host === undefined)
    throw ComponentError.unsupported(
      "make components",
      `no programs exist for ${process.arch}`,
      "Use an amd64 machine",
    );
  for (const path of paths.filter((name) => name.startsWith("bin/"))) {
    const found = await elfArchitecture(join(folder, path));
    if (found !== undefined && found !== host) throw ComponentError.architecture(join(folder, path), found, host);
  }
  return host;
}
