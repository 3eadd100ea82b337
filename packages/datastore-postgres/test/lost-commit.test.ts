import type { TestContext } from "node:test";
import { collectLog, FaultProxy, lateCommitConformance, lostCommitConformance } from "@k3s/testkit";
import { openStore } from "@k3s/datastore";
import { LOCK } from "../src/commit-statement.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function openBehindProxy(t: TestContext) {
  const name = database.newName();
  const { log } = collectLog();
  const proxy = await FaultProxy.start({ target: { port: database.server.port } });
  t.after(() => proxy.stop());
  const driver = await database.open(t, { dsn: `postgres://postgres@127.0.0.1:${proxy.port}/${name}`, log });
  const store = await openStore(driver, { log, healthKey: true });
  t.after(() => store.close());
  return {
    name,
    store,
    proxy,
    beside: await database.open(t, { dsn: database.dsn(name) }),
    mark: (key: string) => key,
  };
}

lostCommitConformance("PostgreSQL", openBehindProxy);

lateCommitConformance("PostgreSQL", async (t) => {
  const opened = await openBehindProxy(t);
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
