import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { insertOld, OLD_TABLE_ROWS, oldTableConformance } from "@k3s/testkit";
import { openMysqlReader } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const OLD_TABLE = `CREATE TABLE key_value (name VARCHAR(255), value MEDIUMBLOB, create_revision INTEGER, revision INTEGER, ttl INTEGER,
  version INTEGER, del INTEGER, old_value MEDIUMBLOB, id INTEGER AUTO_INCREMENT, old_revision INTEGER, PRIMARY KEY (id))`;
const KINE = `CREATE TABLE kine (id BIGINT UNSIGNED AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ascii COLLATE ascii_bin, created INTEGER,
  deleted INTEGER, create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED, lease INTEGER, value MEDIUMBLOB, old_value MEDIUMBLOB,
  PRIMARY KEY (id))`;

describe("the table of kine's predecessor", () => {
  oldTableConformance(database, {
    old: OLD_TABLE,
    kine: KINE,
    foreign: "CREATE TABLE key_value (`key` TEXT, value TEXT)",
    notCopied: "ERR_MYSQL_NOT_COPIED",
    openReader: openMysqlReader,
  });

  test("a row that kine's table cannot hold is refused, and nothing is copied", async (t) => {
    const name = database.newName();
    await database.sql(
      t,
      name,
      OLD_TABLE.replace("VARCHAR(255)", "VARCHAR(255) CHARACTER SET utf8mb4"),
      ...OLD_TABLE_ROWS,
    );
    await database.sql(t, name, insertOld(9, "'/registry/\u00e4'", "'l'", 0, 0));
    const refused = database.open(t, { dsn: database.dsn(name) });
    await assert.rejects(refused, { code: "ERR_MYSQL_OLD_TABLE", message: /^Cannot copy table key_value to kine/ });
    assert.deepEqual(await database.sql(t, name, "SELECT count(*) FROM kine"), [[0]]);
  });
});
