import type { TestContext } from "node:test";
import { lateCommitConformance, lostCommitConformance, openBehindProxy } from "@k3s/testkit";
import { LOCK } from "../src/commit-statement.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function openCuttable(t: TestContext) {
  const opened = await openBehindProxy(t, database, (port, name) => `postgres://postgres@127.0.0.1:${port}/${name}`);
  return { ...opened, mark: (key: string) => key };
}

lostCommitConformance("PostgreSQL", openCuttable);

lateCommitConformance("PostgreSQL", async (t) => {
  const opened = await openCuttable(t);
  const admin = await database.connect(t, opened.name);
  const other = await database.connect(t, opened.name);
  const hold = async () => {
    await other.query(`BEGIN; SELECT ${LOCK}`);
    return () => other.query("ROLLBACK");
  };
  const isWaiting = async () => {
    const { rows } = await admin.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    return rows.length > 0;
  };
  return { ...opened, hold, isWaiting };
});
