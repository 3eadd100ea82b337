import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { collectLog, readerConformance } from "@k3s/testkit";
import { openMysqlReader } from "../src/index.ts";
import { createUser, TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const KINE = `CREATE TABLE kine (id INTEGER AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ascii, created INTEGER, deleted INTEGER,
  create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value MEDIUMBLOB, old_value MEDIUMBLOB, PRIMARY KEY (id))`;

/** Databases, tables with their indexes, and the rows of kine. */
async function dump(t: TestContext, name: string): Promise<unknown> {
  const databases = await database.sql(t, "any", "SHOW DATABASES");
  const tables = await database.sql(t, name, "SHOW TABLES");
  const created = [];
  for (const [table] of tables) created.push(await database.sql(t, name, `SHOW CREATE TABLE ${String(table)}`));
  const rows = tables.length === 0 ? [] : await database.sql(t, name, "SELECT * FROM kine ORDER BY id");
  return { databases, created, rows };
}

describe("openMysqlReader()", () => {
  test("makes no database, and no table", async (t) => {
    await database.sql(t, "any");
    const before = await dump(t, "any");
    const options = { log: collectLog().log, signal: AbortSignal.timeout(20_000) };
    const absent = { code: "ERR_MYSQL_ABSENT", message: /there is no database "typo"$/ };
    await assert.rejects(openMysqlReader({ dsn: database.dsn("typo"), ...options }), absent);
    const empty = { code: "ERR_MYSQL_ABSENT", message: /there is no table kine in database "any"$/ };
    await assert.rejects(openMysqlReader({ dsn: database.dsn("any"), ...options }), empty);
    assert.deepEqual(await dump(t, "any"), before);
  });

  readerConformance(database, {
    openReader: openMysqlReader,
    oldTable: KINE,
    dump,
    addReader: async (t, name) => {
      const account = "'reads'@'localhost'";
      const grant = `GRANT SELECT ON ${name}.* TO ${account}`;
      await database.sql(t, name, ...createUser(account, "IDENTIFIED BY 'r'"), grant);
      return database.dsn(name, "reads:r");
    },
  });
});
