import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Runs SQL statements on a database file through Python's own SQLite, independent of the library under test. */
export async function sql(path: string, ...statements: readonly string[]): Promise<unknown[][]> {
  const script = `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20)
rows = []
for statement in sys.argv[2:]:
    rows = [[v.decode("latin1") if isinstance(v, bytes) else v for v in row] for row in db.execute(statement).fetchall()]
db.commit()
print(json.dumps(rows))
`;
  const { stdout } = await run("python3", ["-c", script, path, ...statements], {
    timeout: 30_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  return JSON.parse(stdout) as unknown[][];
}

/** A process that has the database open, as a kine has that does nothing. */
export async function openElsewhere(t: TestContext, path: string): Promise<{ close(): Promise<void> }> {
  const script = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT count(*) FROM kine").fetchall()
print("open", flush=True)
sys.stdin.read()
`;
  const child = spawn("python3", ["-c", script, path], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "exit");
  await once(child.stdout, "data");
  const close = async () => {
    child.stdin.end();
    await ended;
  };
  return { close };
}
