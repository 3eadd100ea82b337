import { FaultProxy, lostCommitConformance } from "@k3s/testkit";
import { openStore } from "@k3s/datastore";
import { collectLog, TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

lostCommitConformance("MariaDB", async (t) => {
  const name = database.newName();
  const { log } = collectLog();
  const proxy = await FaultProxy.start({ target: { port: database.server.port } });
  t.after(() => proxy.stop());
  const driver = await database.open(t, { dsn: `root@tcp(127.0.0.1:${proxy.port})/${name}`, log });
  const store = await openStore(driver, { log, healthKey: true });
  t.after(() => store.close());
  return { store, proxy, beside: await database.open(t, { dsn: database.dsn(name) }), mark: (key) => `'${key}'` };
});
