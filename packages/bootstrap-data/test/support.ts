import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { createLogger, type Logger } from "@k3s/log";
import { bootstrapStoreOn, prepareBootstrap, type BootstrapStore } from "../src/index.ts";
import type { Claim, PrepareOptions } from "../src/prepare-bootstrap.ts";

/** An empty folder that goes with the test. */
export async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "bootstrap-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A logger and the lines it wrote. */
export function recordingLogger(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "debug", format: "text", write: (line) => lines.push(line) }), lines };
}

/** Our store on a SQLite file of its own. */
export async function realStore(t: TestContext): Promise<{ readonly bootstrap: BootstrapStore }> {
  const { log } = recordingLogger();
  const path = join(await folder(t), "state.db");
  const store = await openStore(await openSqliteDriver({ path, log }), { log });
  t.after(() => store.close());
  return { bootstrap: bootstrapStoreOn(store) };
}

const FILES = [
  "tls/etcd/server-ca.crt",
  "tls/etcd/server-ca.key",
  "tls/etcd/peer-ca.crt",
  "tls/etcd/peer-ca.key",
  "tls/server-ca.crt",
  "tls/server-ca.key",
  "tls/client-ca.crt",
  "tls/client-ca.key",
  "tls/request-header-ca.crt",
  "tls/request-header-ca.key",
  "tls/service.key",
  "cred/passwd",
  "cred/ipsec.psk",
];

/** A server folder whose files hold their own names and are this many seconds old. */
export async function makeServerDir(t: TestContext, ageSeconds = 100): Promise<string> {
  const serverDir = join(await folder(t), "server");
  for (const name of FILES) await put(join(serverDir, name), `content of ${name}\n`, ageSeconds);
  return serverDir;
}

/** Writes a file and sets its age. */
export async function put(path: string, text: string, ageSeconds = 0): Promise<void> {
  const time = new Date(Date.now() - ageSeconds * 1000);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await utimes(path, time, time);
}

export interface FileOnDisk {
  readonly text: string;
  readonly mode: number;
  readonly mtimeMs: number;
}

/** Every file below a folder by its path in it. */
export async function listFiles(root: string): Promise<Map<string, FileOnDisk>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = paths.sort().map(async (path): Promise<[string, FileOnDisk]> => {
    const { mode, mtimeMs } = await stat(path);
    return [path.slice(root.length + 1), { text: await readFile(path, "utf8"), mode: mode & 0o777, mtimeMs }];
  });
  return new Map(await Promise.all(files));
}

/** The right to make the identity. */
export async function claimOf(options: PrepareOptions): Promise<Claim> {
  const preparation = await prepareBootstrap(options);
  assert.ok(preparation.kind === "must-save");
  return preparation;
}
