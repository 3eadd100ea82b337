import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { temporaryFolder } from "./cli-process.ts";
import { etcdctl, serveDatastore } from "./datastore-server.ts";

const execute = promisify(execFile);

/** A node: a data dir with the socket and the file where a server has them. */
export async function node(t: TestContext) {
  const dataDir = await temporaryFolder(t);
  await mkdir(join(dataDir, "server"), { mode: 0o700 });
  const socket = `unix://${dataDir}/server/kine.sock`;
  const file = `${dataDir}/server/db/state.db`;
  const serve = () => serveDatastore(t, [`--listen-address=${socket}`, `--endpoint=sqlite://${file}`]);
  const ctl = (...args: string[]) => etcdctl([`--endpoints=${socket}`, ...args]);
  return { dataDir, socket, file, serve, ctl };
}

/** Runs SQL with Python's own SQLite. */
export async function sql(file: string, statement: string): Promise<void> {
  const script = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.execute(sys.argv[2])\ndb.commit()\n";
  await execute("python3", ["-c", script, file, statement], { timeout: 30_000 });
}
