import { lstat, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { makeDirectory } from "@k3s/files";
import { absentAsUndefined } from "./verify.ts";

export interface CniFolders {
  /** Plugins of the version in use. */
  readonly bin: string;
  /** Folder whose path does not change from version to version. */
  readonly stable: string;
}

/** Points the stable folder at the plugins of this version. Files and links that are not ours stay as they are. */
export async function linkCniPlugins({ bin, stable }: CniFolders): Promise<void> {
  await makeDirectory(stable, 0o755);
  const plugins = new Set(await readdir(bin));
  for (const name of await readdir(stable)) {
    if (!plugins.has(name) && (await isOurs(join(stable, name)))) await rm(join(stable, name));
  }
  for (const name of plugins) await linkPlugin(join(stable, name), relative(stable, join(bin, name)));
}

async function linkPlugin(path: string, target: string): Promise<void> {
  const found = await lstat(path).catch(absentAsUndefined);
  if (found !== undefined && !(await isOurs(path))) return;
  const temporary = `${path}.tmp-${process.pid}`;
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, path);
}

/** Links of ours, and of the original product's absolute ones, lead into a folder named by a digest. */
async function isOurs(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSymbolicLink()) return false;
  return /(^|\/)[0-9a-f]{64}\/bin\/(cni|[^/]+)/.test(await readlink(path));
}
