import type { TestContext } from "node:test";
import { lateCommitConformance, lostCommitConformance, openBehindProxy } from "@k3s/testkit";
import { TAKE_LOCK } from "../src/commit-statements.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function openCuttable(t: TestContext) {
  const opened = await openBehindProxy(t, database, (port, name) => `root@tcp(127.0.0.1:${port})/${name}`);
  return { ...opened, mark: (key: string) => `'${key}'` };
}

lostCommitConformance("MariaDB", openCuttable);

lateCommitConformance("MariaDB", async (t) => {
  const opened = await openCuttable(t);
  const admin = await database.connect(t, opened.name);
  const other = await database.connect(t, opened.name);
  const hold = async () => {
    await other.query(`START TRANSACTION; ${TAKE_LOCK}`);
    return () => other.query("ROLLBACK");
  };
  const isWaiting = async () => {
    const [rows] = await admin.query("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'");
    return (rows as unknown[]).length > 0; // sound: a SELECT
  };
  return { ...opened, hold, isWaiting };
});
