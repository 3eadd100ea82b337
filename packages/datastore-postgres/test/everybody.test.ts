import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { collectLog, creations, until } from "@k3s/testkit";
import { CLAIM, LOCK } from "../src/commit-statement.ts";
import { findPlace } from "../src/connect-postgres.ts";
import { parsePostgresDsn } from "../src/parse-postgres-dsn.ts";
import { PostgresDialect } from "../src/postgres-dialect.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();
const INSERT = "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease) VALUES";

/** A session on a new database with kine's tables, and connections of other programs. */
async function begin(t: TestContext) {
  const name = database.newName();
  await database.open(t, { dsn: database.dsn(name) }); // makes the tables
  const place = await findPlace(parsePostgresDsn(database.dsn(name), { env: {} }));
  const layout = { idMax: 2 ** 53, nameChars: Infinity, isAsciiOnly: false };
  const dialect = new PostgresDialect({ place, layout, log: collectLog().log });
  const session = await dialect.connect(AbortSignal.timeout(10_000));
  t.after(() => session.end());
  const [one, other, third] = [
    await database.connect(t, name),
    await database.connect(t, name),
    await database.connect(t, name),
  ];
  /** Until so many sessions wait for an advisory lock of this database. */
  const untilWaiting = (count: number) =>
    until(`${count} wait`, async () => {
      const waiting = `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
      return (await database.sql(t, name, waiting))[0]?.[0] === count;
    });
  return { dialect, session, one, other, third, untilWaiting };
}

describe("a claim of everybody on PostgreSQL", () => {
  test("is one of servers while a program has the table, lets others write, and does not try again soon", async (t) => {
    const { dialect, session, one: kine, other } = await begin(t);
    await kine.query(`BEGIN; ${INSERT} ('/slow', 1, 0, 0, 0, 0)`);
    assert.equal(await dialect.lock(session, "everybody"), "servers");
    await other.query(`${INSERT} ('/fast', 1, 0, 0, 0, 0)`);
    await kine.query("COMMIT");
    assert.equal(await dialect.commit(session, creations(2, "/ours")), true);
    assert.equal(await dialect.lock(session, "everybody"), "servers");
    await dialect.unlock(session);
  });

  for (const [what, lock] of [
    ["a claim", CLAIM],
    ["the lock of commits", LOCK],
  ] as const)
    test(`that waited in vain for ${what} of another server is tried again at once`, async (t) => {
      const { dialect, session, one: server } = await begin(t);
      await session.run("SET lock_timeout = 300");
      await server.query(`BEGIN; SELECT ${lock}`);
      await assert.rejects(dialect.lock(session, "everybody"), { code: "55P03" });
      await server.query("ROLLBACK");
      assert.equal(await dialect.lock(session, "everybody"), "everybody");
      await dialect.unlock(session);
    });

  test("keeps its turn among claims where it becomes one of servers", async (t) => {
    const { dialect, session, one: first, other: next, third: kine, untilWaiting } = await begin(t);
    await kine.query(`BEGIN; ${INSERT} ('/slow', 1, 0, 0, 0, 0)`);
    await first.query(`BEGIN; SELECT ${CLAIM}`);
    const ours = dialect.lock(session, "everybody");
    await untilWaiting(1);
    let isNext = false;
    const theirs = next.query(`BEGIN; SELECT ${CLAIM}`).then(() => (isNext = true));
    await untilWaiting(2);
    await first.query("COMMIT");
    assert.equal(await ours, "servers");
    assert.equal(isNext, false);
    await dialect.unlock(session);
    await theirs;
  });
});
