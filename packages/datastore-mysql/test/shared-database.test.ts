import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { emptyBatch } from "@k3s/datastore";
import {
  collectLog,
  besideKineConformance,
  creations,
  lostHistoryConformance,
  KINE_INSERT,
  rowIds,
  severalServersConformance,
  until,
} from "@k3s/testkit";
import { MysqlDialect } from "../src/mysql-dialect.ts";
import { resolveMysqlTarget } from "../src/mysql-target.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

describe("a MariaDB that has gone back", () => lostHistoryConformance(database));

describe("several servers on one MariaDB", () => {
  severalServersConformance(database, async (t, name) => {
    const target = await resolveMysqlTarget(database.dsn(name), {});
    const layout = { name: { charset: "ascii", isLoose: false, maxBytes: 630 }, idMax: 2 ** 53, valueMax: 2 ** 24 };
    const dialect = new MysqlDialect({ target, layout, log: collectLog().log });
    const session = await dialect.connect(AbortSignal.timeout(5000));
    t.after(() => session.end());
    await dialect.lock(session, "servers");
    return session.lost;
  });
});

describe("hints of other servers", () => {
  const NEVER = 3_600_000;

  /** Two drivers on one new database, and how often the second one was told that others wrote. It asks only when it is hinted at. */
  async function startPair(t: TestContext) {
    const dsn = database.dsn(database.newName());
    const [one, other] = [await database.open(t, { dsn }), await database.open(t, { dsn, pollMs: NEVER })];
    const told = new Latest(0);
    other.shared?.onChange(() => told.set(told.get() + 1));
    const hints = other.shared?.hints ?? assert.fail();
    const untilTold = (times: number) => told.until((now) => now >= times, AbortSignal.timeout(20_000));
    return { one, other, hints, told, untilTold };
  }

  test("the last row of each commit is told, and has the other server ask the database at once", async (t) => {
    const { one, hints, untilTold } = await startPair(t);
    const rows: number[] = [];
    one.shared?.hints?.onCommit((lastRow) => rows.push(lastRow));
    await one.commit(creations(0, "/a", "/b"));
    await one.commit({ ...emptyBatch, after: 2, leases: [{ id: 7n, ttlSeconds: 60, expiresAtMs: 5 }] });
    await one.commit(creations(2, "/c"));
    await assert.rejects(one.commit(creations(1, "/d")), { kind: "conflict" });
    assert.deepEqual(rows, [2, 3]);
    hints.take(3);
    await untilTold(1);
  });

  test("a row that is not there has the database asked once, and does not hide the next ones", async (t) => {
    const { mock } = t.mock.method(MysqlDialect.prototype, "position");
    const { one, hints, told, untilTold } = await startPair(t);
    hints.take(Number.MAX_SAFE_INTEGER);
    hints.take(Number.NaN);
    await until("the database was asked", () => Promise.resolve(mock.callCount() > 0));
    assert.equal((await mock.calls[0]?.result)?.lastRow, 0);
    for (let after = 0; after < 10; after++) await one.commit(creations(after, `/${after}`));
    assert.deepEqual([mock.callCount(), told.get()], [1, 0]);
    hints.take(1);
    await untilTold(1);
    assert.equal(mock.callCount(), 2);
  });

  test("rows of others with the ids of a commit of ours that failed are news", async (t) => {
    const { one, other, hints, untilTold } = await startPair(t);
    await one.commit(creations(0, "/a"));
    await assert.rejects(other.commit(creations(0, "/b", "/c", "/d")), { kind: "conflict" });
    hints.take(1);
    await untilTold(1);
    await one.commit(creations(1, "/e"));
    hints.take(2);
    await untilTold(2);
  });
});

describe("O9 beside kine", () => {
  besideKineConformance(database, {
    duplicate: { errno: 1062 },
    startIds: (last) => `ALTER TABLE kine AUTO_INCREMENT = ${last + 1}`,
  });

  test("a user without the right to lock tables keeps servers back alone, and nobody is told of trouble", async (t) => {
    const name = database.newName();
    await database.open(t, { dsn: database.dsn(name) }); // makes the tables
    const rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX";
    await database.sql(t, name, "CREATE USER IF NOT EXISTS plain", `GRANT ${rights} ON ${name}.* TO plain`);
    const { log, lines } = collectLog();
    const driver = await database.open(t, { dsn: database.dsn(name, "plain"), log });
    const other = await database.connect(t, name);
    const claim = await driver.shared?.claim("everybody");
    await other.query(`${KINE_INSERT} ('/kine', 1, 0, 0, 0, 0, '1')`);
    await claim?.release();
    await driver.commit(creations(1, "/a"));
    assert.deepEqual(await rowIds(driver), [1, 2]);
    assert.doesNotMatch(lines.join(""), /cannot be used/);
  });
});
