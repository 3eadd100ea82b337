import type { TestContext } from "node:test";
import { LOCK } from "../../src/commit-statement.ts";
import type { TestDatabase } from "./test-database.ts";

/** Holds the one lock of all commits to a database back, and sees whether a commit waits for it. */
export async function holdCommits(t: TestContext, database: TestDatabase, name: string) {
  const [admin, other] = [await database.connect(t, name), await database.connect(t, name)];
  const hold = async () => {
    await other.query(`BEGIN; SELECT ${LOCK}`);
    return () => other.query("ROLLBACK");
  };
  const isWaiting = async () => {
    const { rows } = await admin.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    return rows.length > 0;
  };
  return { hold, isWaiting };
}
