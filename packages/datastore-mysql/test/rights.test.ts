import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openUntilWaiting } from "@k3s/testkit";
import { openMysqlDriver } from "../src/open-mysql-driver.ts";
import { createUser, TestDatabase } from "./support/test-database.ts";

const WRITING = "SELECT, INSERT, UPDATE, DELETE";
const database = TestDatabase.forFile();

/** A user who may do no more than this in that database. */
async function grant(t: TestContext, rights: string, name: string): Promise<string> {
  await database.sql(
    ...[t, name],
    ...createUser("'clerk'@'localhost'", "IDENTIFIED BY 'c'"),
    `GRANT ${rights} ON ${name}.* TO 'clerk'@'localhost'`,
  );
  return database.dsn(name, "clerk:c");
}

const tryOpen = (dsn: string) => openUntilWaiting((options) => openMysqlDriver({ dsn, ...options }));

const NAME_COLUMN = "name VARCHAR(630) CHARACTER SET ascii COLLATE ascii_bin";
const TABLE_WITHOUT_INDEX = `CREATE TABLE kine (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, ${NAME_COLUMN}, created INT, deleted INT,
  create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED, lease INT, value MEDIUMBLOB, old_value MEDIUMBLOB)`;
const OLD_TABLE = "CREATE TABLE key_value (id BIGINT PRIMARY KEY, name VARCHAR(630), value BLOB, ttl BIGINT)";

describe("openMysqlDriver() for a user who may not make tables", () => {
  test("takes those that are there, and makes none", async (t) => {
    const name = database.newName();
    await database.open(t, { dsn: database.dsn(name) });
    const driver = await database.open(t, { dsn: await grant(t, WRITING, name) });
    assert.deepEqual(await driver.heads(0, 1), []);
  });

  const LACK = { code: "ERR_MYSQL_PRIVILEGE", hint: /GRANT CREATE, INDEX and ALTER/ };

  test("is refused at once where there are none", async (t) => {
    await assert.rejects(tryOpen(await grant(t, WRITING, database.newName())), LACK);
  });

  test("is refused at once where the unique index has to be made", async (t) => {
    const name = database.newName();
    await database.open(t, { dsn: database.dsn(name) });
    await database.sql(t, name, "DROP TABLE kine", TABLE_WITHOUT_INDEX);
    await assert.rejects(tryOpen(await grant(t, WRITING, name)), LACK);
  });

  test("is refused at once where rows of an old table cannot be copied", async (t) => {
    const name = database.newName();
    await database.open(t, { dsn: database.dsn(name) });
    await database.sql(t, name, OLD_TABLE, "INSERT INTO key_value VALUES (1,'/a','v',0)");
    await database.sql(
      ...[t, name],
      ...createUser("'clerk'@'localhost'", "IDENTIFIED BY 'c'"),
      ...["key_value", "kine"].map((table) => `GRANT SELECT ON ${name}.${table} TO 'clerk'@'localhost'`),
      ...["kine_lease", "kine_lease_row", "kine_span", "kine_lock"].map(
        (table) => `GRANT ${WRITING} ON ${name}.${table} TO 'clerk'@'localhost'`,
      ),
    );
    await assert.rejects(tryOpen(database.dsn(name, "clerk:c")), LACK);
  });
});

describe("openMysqlDriver() on a server that takes no writes", () => {
  for (const isNew of [true, false])
    test(`waits, and says so, where the tables are ${isNew ? "not " : ""}there`, async (t) => {
      const name = database.newName();
      if (!isNew) await database.open(t, { dsn: database.dsn(name) });
      const dsn = await grant(t, `${WRITING}, CREATE`, name);
      await database.sql(t, name, "SET GLOBAL read_only=ON");
      t.after(() => database.sql(t, name, "SET GLOBAL read_only=OFF"));
      assert.match(await tryOpen(dsn), /Name the server that takes writes.*waiting for the database/);
    });
});
