import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { collectLog, creations } from "@k3s/testkit";
import { TAKE_LOCK } from "../src/commit-statements.ts";
import { MysqlDialect } from "../src/mysql-dialect.ts";
import { resolveMysqlTarget } from "../src/mysql-target.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();
const INSERT = "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) VALUES";

/** A session on a new database with kine's tables, and connections of other programs. */
async function begin(t: TestContext) {
  const name = database.newName();
  await database.open(t, { dsn: database.dsn(name) }); // makes the tables
  const target = await resolveMysqlTarget(database.dsn(name), {});
  const layout = { name: { charset: "ascii", isLoose: false, maxBytes: 630 }, idMax: 2 ** 53, valueMax: 2 ** 24 };
  const dialect = new MysqlDialect({ target, layout, log: collectLog().log });
  const session = await dialect.connect(AbortSignal.timeout(10_000));
  t.after(() => session.end());
  return { dialect, session, one: await database.connect(t, name), other: await database.connect(t, name) };
}

describe("a claim of everybody on MariaDB", () => {
  test("is one of servers while a program has the table, lets others write, and does not try again soon", async (t) => {
    const { dialect, session, one: kine, other } = await begin(t);
    await kine.query(`START TRANSACTION; ${INSERT} ('/slow', 1, 0, 0, 0, 0, '')`);
    assert.equal(await dialect.lock(session, "everybody"), "servers");
    await other.query(`${INSERT} ('/fast', 1, 0, 0, 0, 0, '')`);
    await kine.query("COMMIT");
    assert.equal(await dialect.commit(session, creations(2, "/ours")), true);
    assert.equal(await dialect.lock(session, "everybody"), "servers");
    await dialect.unlock(session);
  });

  test("that waited in vain for a claim of another server is tried again at once", async (t) => {
    const { dialect, session, one: server } = await begin(t);
    await session.run(["SET SESSION innodb_lock_wait_timeout=1"]);
    await server.query(`START TRANSACTION; ${TAKE_LOCK}`);
    await assert.rejects(dialect.lock(session, "everybody"), { errno: 1205 });
    await server.query("ROLLBACK");
    assert.equal(await dialect.lock(session, "everybody"), "everybody");
    await dialect.unlock(session);
  });
});
