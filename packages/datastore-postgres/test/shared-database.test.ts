import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { SqlDriver, type Announcement } from "@k3s/datastore-sql";
import {
  collectLog,
  besideKineConformance,
  creations,
  lostHistoryConformance,
  rowIds,
  severalServersConformance,
  until,
} from "@k3s/testkit";
import { findPlace } from "../src/connect-postgres.ts";
import { parsePostgresDsn } from "../src/parse-postgres-dsn.ts";
import { PostgresDialect } from "../src/postgres-dialect.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function dialectOn(name: string): Promise<PostgresDialect> {
  const settings = parsePostgresDsn(database.dsn(name), { env: {} });
  const place = await findPlace(settings);
  const layout = { idMax: 2 ** 53, nameChars: Infinity, isAsciiOnly: false };
  return new PostgresDialect({ place, layout, log: collectLog().log });
}

/** A session that has the lock of commits. */
async function lockedOn(t: TestContext, name: string) {
  const dialect = await dialectOn(name);
  const session = await dialect.connect(AbortSignal.timeout(5000));
  t.after(() => session.end());
  await dialect.lock(session, "servers");
  return { dialect, session };
}

describe("a PostgreSQL that has gone back", () => lostHistoryConformance(database));

describe("several servers on one PostgreSQL", () => {
  severalServersConformance(database, async (t, name) => {
    const { session } = await lockedOn(t, name);
    return session.lost;
  });

  test("commits are told to other servers only while their announcements do not come through, as behind a pooler", async (t) => {
    const name = database.newName();
    await database.open(t, { dsn: database.dsn(name) }); // makes the tables
    let isDeaf = false;
    const dialect = await dialectOn(name);
    const listen = dialect.listen.bind(dialect);
    dialect.listen = (session, take) =>
      listen(session, (announcement) => {
        if (!isDeaf) take(announcement);
      });
    const driver = new SqlDriver({ dialect, log: collectLog().log });
    t.after(() => driver.close());
    const rows: number[] = [];
    driver.shared.hints?.onCommit((lastRow) => rows.push(lastRow));
    driver.shared.onChange(() => undefined);
    let lastRow = 0;
    const write = async () => {
      lastRow = (await driver.shared.position()).lastRow;
      await driver.commit(creations(lastRow++, `/${lastRow}`));
    };
    const isTold = async () => {
      await write();
      return rows.at(-1) === lastRow;
    };
    await until("nothing is told", async () => !(await isTold()));
    isDeaf = true;
    await until("commits are told", isTold);
    isDeaf = false;
    await until("nothing is told again", async () => !(await isTold()));
  });
});

describe("LISTEN and NOTIFY", () => {
  test("tell the id of a commit to every server, and to the writer that it is its own", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const [own, other] = [await dialectOn(name), await dialectOn(name)];
    const heard: Announcement[][] = [[], []];
    for (const [i, dialect] of [own, other].entries()) {
      const session = await dialect.connect(AbortSignal.timeout(5000));
      t.after(() => session.end());
      await dialect.listen(session, (announcement) => heard[i]?.push(announcement));
    }
    await driver.commit(creations(0, "/a", "/b"));
    const writer = await own.connect(AbortSignal.timeout(5000));
    t.after(() => writer.end());
    assert.equal(await own.commit(writer, creations(2, "/c")), true);
    assert.equal(await own.commit(writer, { ...creations(1), endedLeases: [1n] }), false);
    assert.equal(await own.commit(writer, creations(3, "/d")), true);
    const expected = (isOwn: boolean) => [
      { lastRow: 2, isOwn: false },
      { lastRow: 3, isOwn },
      { lastRow: 4, isOwn },
    ];
    await until("all is heard", () => Promise.resolve(heard.every((list) => list.length >= 3)));
    assert.deepEqual(heard, [expected(true), expected(false)]);
  });
});

describe("O9 beside kine", () => {
  besideKineConformance(database, {
    duplicate: { code: "23505" },
    startIds: (last) => `SELECT setval('kine_id_seq', ${last})`,
  });

  test("a claim of everybody and a transaction of another server wait for each other in one order", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const { dialect, session } = await lockedOn(t, name);
    const claim = driver.shared?.claim("everybody");
    await until("the claim waits", async () => {
      const waiting = `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
      return (await database.sql(t, name, waiting))[0]?.[0] === 1;
    });
    assert.equal(await dialect.commit(session, creations(0, "/a")), true);
    await claim;
    await driver.commit(creations(1, "/b"));
    assert.deepEqual(await rowIds(driver), [1, 2]);
  });
});
