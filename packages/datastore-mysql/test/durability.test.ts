import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { collectLog, until } from "@k3s/testkit";
import { weaknessesOf } from "../src/durability.ts";
import { openMysqlReader } from "../src/open-mysql-reader.ts";
import { TestDatabase } from "./support/test-database.ts";

const MESSAGE = "the database server can lose acknowledged writes";

const database = TestDatabase.forFile({
  args: (folder) => [`--log-bin=${join(folder, "binlog")}`, "--binlog-format=MIXED", "--sync-binlog=1"],
});

/** Until the test ends. */
async function setGlobal(t: TestContext, variable: string, value: number): Promise<void> {
  await database.sql(t, "any", `SET GLOBAL ${variable}=${value}`);
  t.after(() => database.sql(t, "any", `SET GLOBAL ${variable}=1`));
}

async function findings(t: TestContext, name: string): Promise<string> {
  const signal = AbortSignal.timeout(30_000);
  const reader = await openMysqlReader({ dsn: database.dsn(name), log: collectLog().log, signal });
  t.after(() => reader.close());
  return (await reader.findings()).join("\n");
}

const settings = [
  {
    variable: "innodb_flush_log_at_trx_commit",
    value: 0,
    loss: /a crash of the server program or of its machine takes/,
  },
  { variable: "innodb_flush_log_at_trx_commit", value: 2, loss: /a crash of its machine takes/ },
  { variable: "sync_binlog", value: 0, loss: /takes acknowledged writes that are not in the binary log/ },
];

describe("durability of the MySQL server", () => {
  for (const { variable, value, loss } of settings) {
    test(`warns once, with the cure, of ${variable}=${value}; tools find it`, async (t) => {
      await setGlobal(t, variable, value);
      const { log, lines } = collectLog();
      const name = database.newName();
      const driver = await database.open(t, { dsn: database.dsn(name), log });
      // Each on a connection of its own.
      await Promise.all([driver.heads(0, 1), driver.side(), driver.size()]);
      const told = lines.filter((line) => line.includes(MESSAGE));
      assert.equal(told.length, 1, told.join(""));
      const [line = ""] = told;
      assert.match(line, /"level":"warn"/);
      assert.match(line, loss);
      assert.ok(line.includes(`"setting":"${variable}=${value}"`), line);
      assert.ok(line.includes(`"hint":"Run SET GLOBAL ${variable}=1`), line);
      assert.match(await findings(t, name), new RegExp(`${variable}=${value}: .*Run SET GLOBAL ${variable}=1`));
    });
  }

  test("looks again when it connects anew, and says nothing of a server that is durable", async (t) => {
    const { log, lines } = collectLog();
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name), log });
    await driver.heads(0, 1);
    assert.equal(await findings(t, name), "");
    assert.ok(!lines.join("").includes(MESSAGE), lines.join(""));
    await setGlobal(t, "innodb_flush_log_at_trx_commit", 2);
    const admin = await database.connect(t);
    const [threads] = await admin.query("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()");
    for (const [id] of threads as number[][]) await admin.query(`KILL ${Number(id)}`).catch(() => undefined);
    await until("the weakness is told of", async () => {
      await driver.heads(0, 1);
      return lines.join("").includes("innodb_flush_log_at_trx_commit=2");
    });
  });
});

describe("weaknessesOf()", () => {
  const variables = (entries: Readonly<Record<string, string>>) =>
    weaknessesOf(new Map(Object.entries(entries))).map(({ setting, loss }) => `${setting}: ${loss}`);

  test("finds nothing in MariaDB's strictest setting, in a binary log that is off, and in TiDB", () => {
    assert.deepEqual(variables({ innodb_flush_log_at_trx_commit: "3", sync_binlog: "0", log_bin: "OFF" }), []);
    assert.deepEqual(variables({ innodb_flush_log_at_trx_commit: "2", version: "8.0.11-TiDB-v8.5.0" }), []);
  });

  test("knows that a cluster loses writes with all of its nodes", () => {
    assert.deepEqual(variables({ innodb_flush_log_at_trx_commit: "2", wsrep_on: "ON" }), [
      "innodb_flush_log_at_trx_commit=2: a crash of all nodes at once takes a second of acknowledged writes and more",
    ]);
  });

  test("tells of pages that can be written in halves", () => {
    assert.match(variables({ innodb_doublewrite: "OFF" }).join(""), /^innodb_doublewrite=OFF: .*can damage pages/);
  });
});
