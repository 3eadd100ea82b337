import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Held by whoever looks at a data dir; what they say is of no use later. */
const LOCK = /\.lock$/;

/**
 * Every file and link below a folder but locks, by path: mode, owner and content, which for a datastore is its rows.
 * Nothing when there is no such folder.
 */
export async function folderContent(folder: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => !entry.isDirectory() && !LOCK.test(entry.name));
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).sort();
  return new Map(await Promise.all(paths.map(async (path) => [path, await describe(path)] as const)));
}

async function describe(path: string): Promise<string> {
  const info = await lstat(path);
  const head = `${info.mode.toString(8)} ${info.uid}:${info.gid}`;
  if (info.isSymbolicLink()) return `${head} ${await readlink(path)}`;
  const content = path.endsWith("/state.db") ? rowsOf(path) : await readFile(path);
  return `${head} ${createHash("sha256").update(content).digest("hex")}`;
}

/** A server that just looks into a SQLite file changes bytes of it; what is kept in it is what counts. Writes nothing itself. */
function rowsOf(path: string): string {
  const database = new DatabaseSync(new URL(`file://${path}?immutable=1`), { readOnly: true });
  try {
    const rows = database.prepare("SELECT id, name, created, deleted, hex(value) FROM kine ORDER BY id").all();
    if (rows.length === 0) throw new Error("Cannot compare datastores: this one is empty");
    return JSON.stringify(rows);
  } finally {
    database.close();
  }
}
