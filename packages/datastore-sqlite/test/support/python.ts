import { execFile } from "node:child_process";
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
