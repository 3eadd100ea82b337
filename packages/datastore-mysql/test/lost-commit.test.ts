import type { TestContext } from "node:test";
import { collectLog, FaultProxy, lateCommitConformance, lostCommitConformance } from "@k3s/testkit";
import { openStore } from "@k3s/datastore";
import { TAKE_LOCK } from "../src/commit-statements.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function openBehindProxy(t: TestContext) {
  const name = database.newName();
  const { log } = collectLog();
  const proxy = await FaultProxy.start({ target: { port: database.server.port } });
  t.after(() => proxy.stop());
  const driver = await database.open(t, { dsn: `root@tcp(127.0.0.1:${proxy.port})/${name}`, log });
  const store = await openStore(driver, { log, healthKey: true });
  t.after(() => store.close());
  return {
    name,
    store,
    proxy,
    beside: await database.open(t, { dsn: database.dsn(name) }),
    mark: (key: string) => `'${key}'`,
  };
}

lostCommitConformance("MariaDB", openBehindProxy);

lateCommitConformance("MariaDB", async (t) => {
  const opened = await openBehindProxy(t);
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
