import { cp, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory, removeIfExists, writeFileAtomic } from "@k3s/files";
import type { BootstrapContent, StoredFile } from "./content.ts";
import { BootstrapError } from "./errors.ts";

/** The files that exist of those named, with their modification times. Rejects with BootstrapError. */
export async function readFiles(paths: ReadonlyMap<string, string>): Promise<BootstrapContent> {
  const read = [...paths].map(async ([member, path]) => [member, await readStored(path)] as const);
  const files = new Map<string, StoredFile>();
  for (const [member, file] of await Promise.all(read)) if (file !== undefined) files.set(member, file);
  return files;
}

/** Writes every file of `content` that has a path: folders 0700, files 0600 with the stored time. */
export async function writeFiles(content: BootstrapContent, paths: ReadonlyMap<string, string>): Promise<void> {
  for (const [member, path] of paths) {
    const file = content.get(member);
    if (file === undefined) continue;
    try {
      await makeDirectory(dirname(path), 0o700);
      const mtime = file.timestamp === 0n ? {} : { mtime: new Date(Number(file.timestamp / 1_000_000n)) };
      await writeFileAtomic(path, file.content, { mode: 0o600, ...mtime });
    } catch (error) {
      throw BootstrapError.fileUnusable(path, error);
    }
  }
}

/** Makes the files those of `before` again: what came since goes, what was changed is written as it was. */
export async function putBack(before: BootstrapContent, paths: ReadonlyMap<string, string>): Promise<void> {
  const now = await readFiles(paths);
  const changed = [...before].filter(([member, { content }]) => now.get(member)?.content.equals(content) !== true);
  await writeFiles(new Map(changed), paths);
  for (const [member, path] of paths) {
    if (before.has(member)) continue;
    try {
      await removeIfExists(path);
    } catch (error) {
      throw BootstrapError.fileUnusable(path, error);
    }
  }
}

/** Whether one of the folders that hold a server's identity is missing or empty. */
export async function isFresh(serverDir: string): Promise<boolean> {
  const folders = ["cred", "tls", join("tls", "etcd")].map((name) => join(serverDir, name));
  return (await Promise.all(folders.map(isEmpty))).some(Boolean);
}

/** Keeps a copy of `server/tls` as `server/tls-<unix seconds>`; returns its path. */
export async function backUpTls(serverDir: string, now: Date): Promise<string> {
  const copy = join(serverDir, `tls-${Math.floor(now.getTime() / 1000)}`);
  try {
    await cp(join(serverDir, "tls"), copy, { recursive: true, preserveTimestamps: true });
  } catch (error) {
    throw BootstrapError.fileUnusable(copy, error);
  }
  return copy;
}

async function readStored(path: string): Promise<StoredFile | undefined> {
  try {
    const [content, { mtimeNs }] = await Promise.all([readFile(path), stat(path, { bigint: true })]);
    return { content, timestamp: mtimeNs };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw BootstrapError.fileUnusable(path, error);
  }
}

async function isEmpty(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length === 0;
  } catch (error) {
    if (isAbsent(error)) return true;
    throw BootstrapError.fileUnusable(path, error);
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
