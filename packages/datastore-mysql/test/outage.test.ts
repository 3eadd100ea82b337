import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openStore } from "@k3s/datastore";
import { collectLog, contents, isUnavailable, outageConformance, until, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

outageConformance("MariaDB", database, async (t) => {
  const admin = await database.connect(t);
  return async () => {
    const [threads] = await admin.query("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()");
    for (const [id] of threads as number[][]) await admin.query(`KILL ${Number(id)}`).catch(() => undefined);
  };
});

test("what only reads is asked again when the server ended its idle connection while this process stood still", async (t) => {
  const dsn = `root@tcp(127.0.0.1:${database.server.port})/${database.newName()}?wait_timeout=1`;
  const driver = await database.open(t, { dsn });
  assert.deepEqual(await driver.heads(0, 1), []);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
  assert.deepEqual(await driver.heads(0, 1), []);
});

describe("MariaDB read-only", () => {
  test("refuses writes as unavailable, names cause and cure in the log, and reads go on", async (t) => {
    const admin = await database.connect(t);
    await admin.query("CREATE USER IF NOT EXISTS 'plain'@'%' IDENTIFIED BY 'p@ss:/w'; GRANT ALL ON *.* TO 'plain'@'%'");
    const readOnlyRight = database.server.product === "MySQL" ? "CONNECTION_ADMIN" : "READ_ONLY ADMIN";
    await admin.query(`REVOKE SUPER, ${readOnlyRight} ON *.* FROM 'plain'@'%'`);
    const { log, lines } = collectLog();
    const driver = await database.open(t, { dsn: database.dsn(database.newName(), "plain:p@ss:/w"), log });
    const store = await openStore(driver, { log, healthKey: true });
    t.after(() => store.close());
    await store.txn(write("/a", 0, "1"));
    try {
      await admin.query("SET GLOBAL read_only=1");
      const before = lines.length;
      for (let i = 0; i < 50; i++) await assert.rejects(store.txn(write("/a", 3, "2")), isUnavailable);
      assert.ok(lines.length - before <= 3, lines.slice(before).join(""));
      assert.deepEqual((await contents(store)).slice(0, 1), ["/a=1@3"]);
      const said = lines.find((line) => line.includes("it is read-only")) ?? "";
      assert.match(said, /end the read-only mode of the database/);
    } finally {
      await admin.query("SET GLOBAL read_only=0");
    }
    await until("writes are served again", async () => (await store.txn(write("/a", 3, "2"))).succeeded);
  });
});
