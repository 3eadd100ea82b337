import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Driver } from "@k3s/datastore";
import { SqlDriver, type Announcement } from "@k3s/datastore-sql";
import {
  collectLog,
  assertServedBeside,
  until,
  WatchRecorder,
  contents,
  creations,
  EVERYTHING,
  query,
  rangeOf,
  write,
} from "@k3s/testkit";
import { findPlace } from "../src/connect-postgres.ts";
import { parsePostgresDsn } from "../src/parse-postgres-dsn.ts";
import { PostgresDialect } from "../src/postgres-dialect.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function ids(driver: Driver): Promise<number[]> {
  return (await driver.heads(0, 10_000)).map(({ id }) => id);
}

async function dialectOn(name: string): Promise<PostgresDialect> {
  const settings = parsePostgresDsn(database.dsn(name), { env: {} });
  const place = await findPlace(settings);
  const layout = { idMax: 2 ** 53, nameChars: Infinity, isAsciiOnly: false };
  return new PostgresDialect({ place, layout, log: collectLog().log });
}

describe("several servers on one PostgreSQL", () => {
  test("start on a new database at once", async (t) => {
    const name = database.newName();
    const stores = await Promise.all(Array.from({ length: 4 }, () => database.store(t, name)));
    for (const store of stores) assert.equal((await store.range(query(rangeOf("/registry/health")))).count, 1);
  });

  test("hard case 36, O8: compare-and-set from two servers gives each revision once, and both watch all of it in order", async (t) => {
    const name = database.newName();
    const stores = [await database.store(t, name), await database.store(t, name)];
    const seen = stores.map((store) => new WatchRecorder(store, EVERYTHING, 3));
    const won: number[] = [];
    await Promise.all(
      [0, 1, 2, 3, 4, 5, 6, 7].map(async (client) => {
        const store = stores[client % 2] ?? assert.fail();
        for (let round = 0; round < 25; round++) {
          const { kvs } = await store.range(query(rangeOf("/counter")));
          const mod = kvs[0]?.modRevision ?? 0;
          const { succeeded, revision } = await store.txn(write("/counter", mod, `${client} ${round}`));
          if (succeeded) won.push(revision);
        }
      }),
    );
    assert.equal(new Set(won).size, won.length);
    for (const recorder of seen) {
      await recorder.count(won.length);
      assert.deepEqual(
        recorder.events.map(({ kv }) => Number(kv.modRevision)),
        [...won].sort((a, b) => a - b),
      );
    }
  });

  test("a write of one is read by the other at once, and told to its watch", async (t) => {
    const name = database.newName();
    const [one, other] = [await database.store(t, name), await database.store(t, name)];
    const seen = new WatchRecorder(other, rangeOf("/k", "/l"));
    for (let i = 0; i < 50; i++) {
      await one.txn(write(`/k/${i}`, 0, "v"));
      assert.equal((await other.range(query(rangeOf(`/k/${i}`)))).count, 1);
    }
    await seen.count(50);
  });

  test("a batch planned on an older row is a conflict, and nothing of it is written", async (t) => {
    const name = database.newName();
    const [one, other] = [
      await database.open(t, { dsn: database.dsn(name) }),
      await database.open(t, { dsn: database.dsn(name) }),
    ];
    await one.commit(creations(0, "/a"));
    await assert.rejects(other.commit(creations(0, "/b")), { kind: "conflict" });
    await assert.rejects(other.commit({ ...creations(0), endedLeases: [1n] }), { kind: "conflict" });
    const [row] = creations(1, "/c").rows;
    assert.ok(row);
    await assert.rejects(other.commit({ ...creations(1), rows: [{ ...row, lease: 7n }] }), { kind: "conflict" });
    assert.deepEqual(await ids(other), [1]);
    const lease = { id: 7n, ttlSeconds: 60, expiresAtMs: 5 };
    await other.commit({ ...creations(1), rows: [{ ...row, lease: 7n }], leases: [lease] });
    assert.deepEqual(await ids(one), [1, 2]);
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

  test("a server that stops while it has the lock gives it back", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const dialect = await dialectOn(name);
    const session = await dialect.connect(AbortSignal.timeout(5000));
    t.after(() => session.end());
    await dialect.lock(session, "servers");
    await driver.commit(creations(0, "/a"));
    await until("the session is lost", () => Promise.resolve(session.lost.aborted)); // the word of it comes over another connection
    assert.deepEqual(await ids(driver), [1]);
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
  const INSERT = "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) VALUES";

  test("history compacted before we saw it: keys that ended in it are gone, and watches end instead of missing it", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    for (const key of ["/ended", "/kept", "/again"]) await store.txn(write(key, 0, "old"));
    const [early, late] = [new WatchRecorder(store, EVERYTHING, 3), new WatchRecorder(store, EVERYTHING, 10)];
    const kine = await database.connect(t, name);
    for (const statement of [
      "BEGIN",
      `${INSERT} ('/ended', 0, 1, 0, 3, 0, NULL)`,
      `${INSERT} ('/again', 0, 1, 0, 5, 0, NULL)`,
      `${INSERT} ('/other', 1, 0, 0, 0, 0, 'new')`,
      `${INSERT} ('/again', 1, 0, 0, 7, 0, 'new')`,
      `${INSERT} ('/last', 1, 0, 0, 0, 0, 'new')`,
      "DELETE FROM kine WHERE id IN (3, 5, 6, 7)",
      "UPDATE kine SET prev_revision = 8 WHERE name = 'compact_rev_key'",
      "COMMIT",
    ])
      await kine.query(statement);
    const expected = ["/again=new@9", "/kept=old@4", "/last=new@10", "/other=new@8"];
    assert.deepEqual(
      (await contents(store)).filter((line) => !line.includes("health")),
      expected,
    );
    assert.deepEqual(await early.ended(), { reason: "compacted", compactRevision: 8 });
    await late.count(1);
    assert.deepEqual(late.lines, ["10 put /last=new"]);
    const after = new WatchRecorder(store, EVERYTHING, 9);
    await after.count(2);
    assert.deepEqual(after.lines, ["9 put /again=new", "10 put /last=new"]);
    assert.equal((await store.txn(write("/ended", 0, "back"))).revision, 11);
  });

  test("D6 an id that kine burnt is settled, and rows behind it are shown", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const seen = new WatchRecorder(store, EVERYTHING, 3);
    const kine = await database.connect(t, name);
    await kine.query(`${INSERT} ('/one', 1, 0, 0, 0, 0, '1')`);
    await assert.rejects(kine.query(`${INSERT} ('/one', 1, 0, 0, 0, 0, 'again')`), { code: "23505" });
    await kine.query(`${INSERT} ('/two', 1, 0, 0, 0, 0, '2')`);
    await seen.count(2);
    assert.deepEqual(seen.lines, ["3 put /one=1", "5 put /two=2"]);
    assert.deepEqual(await database.sql(t, name, "SELECT name, deleted FROM kine WHERE id = 4"), [["gap-4", 1]]);
    assert.equal((await store.txn(write("/three", 0, "3"))).revision, 6);
  });

  test("a row that kine commits late is shown before the rows behind it", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const seen = new WatchRecorder(store, EVERYTHING, 3);
    const [slow, fast] = [await database.connect(t, name), await database.connect(t, name)];
    await slow.query(`BEGIN; ${INSERT} ('/slow', 1, 0, 0, 0, 0, '1')`);
    await fast.query(`${INSERT} ('/fast', 1, 0, 0, 0, 0, '2')`);
    const own = store.txn(write("/own", 0, "3"));
    await slow.query("COMMIT");
    await own;
    await seen.count(3);
    assert.deepEqual(seen.lines, ["3 put /slow=1", "4 put /fast=2", "5 put /own=3"]);
    assert.equal((await contents(store)).length, 4);
  });

  for (const servers of [1, 2])
    test(`a kine that writes without a pause, and burns ids, keeps ${servers === 1 ? "us" : "two of us"} neither from reading nor from writing`, async (t) => {
      const name = database.newName();
      const stores = await Promise.all(Array.from({ length: servers }, () => database.store(t, name)));
      const guests = await Promise.all(
        Array.from({ length: 3 }, async () => {
          const kine = await database.connect(t, name);
          let count = 0;
          // Every other one exists: it uses up an id, and is no row. Some have a time to live.
          return async () => {
            const row = `'/kine/${count >> 1}', 1, 0, 0, 0, ${count++ % 3 === 0 ? 600 : 0}, 'kine'`;
            return kine.query(`${INSERT} (${row})`).then(
              () => true,
              () => false,
            );
          };
        }),
      );
      await assertServedBeside(stores, guests);
    });

  test("kine and we write the same keys: one of two wins, and all is seen once and in order", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const seen = new WatchRecorder(store, EVERYTHING, 3);
    const kine = await database.connect(t, name);
    const keys = Array.from({ length: 100 }, (_, i) => `/both/${i}`);
    let ofKine = 0;
    await Promise.all([
      ...keys.map((key) => store.txn(write(key, 0, "ours"))),
      (async () => {
        for (const key of keys) {
          const insert = `${INSERT} ('${key}', 1, 0, 0, 0, 0, 'kine')`;
          const done = await kine.query(insert).catch(() => undefined);
          if (done !== undefined) ofKine++;
        }
      })(),
    ]);
    await seen.count(100);
    const values = (await store.range(query(rangeOf("/both/", "/both0")))).kvs.map(({ value }) => value.toString());
    assert.deepEqual([values.length, values.filter((value) => value === "kine").length], [100, ofKine]);
    const revisions = seen.events.map(({ kv }) => Number(kv.modRevision));
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].sort((a, b) => a - b),
    );
  });

  test("a claim of everybody keeps kine back, answers reads, settles what kine burnt, and ends with our commit", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const shared = driver.shared ?? assert.fail();
    await driver.commit(creations(0, "compact_rev_key"));
    const [kine, other] = [await database.connect(t, name), await database.connect(t, name)];
    await kine.query(`${INSERT} ('/one', 1, 0, 0, 0, 0, '1')`);
    await assert.rejects(kine.query(`${INSERT} ('/one', 1, 0, 0, 0, 0, 'again')`), { code: "23505" });
    await kine.query(`${INSERT} ('/two', 1, 0, 0, 0, 0, '2')`);
    await shared.claim("everybody");
    let isWritten = false;
    const late = other.query(`${INSERT} ('/late', 1, 0, 0, 0, 0, '3')`).then(() => (isWritten = true));
    const { rows } = await shared.changes(1, 10);
    assert.deepEqual(
      rows.map(({ id, name: key }) => `${id} ${key}`),
      ["2 /one", "3 gap-3", "4 /two"],
    );
    assert.deepEqual([await shared.position(), await shared.leases()], [{ lastRow: 4, compactRevision: 0 }, []]);
    assert.deepEqual([await ids(driver), String(await driver.values([2, 4]))], [[1, 2, 3, 4], "1,2"]);
    assert.equal(isWritten, false);
    const lease = { id: 7n, ttlSeconds: 60, expiresAtMs: 5 };
    const { rows: news, ...batch } = creations(4, "/ours", "/two");
    const [ours, two] = news;
    assert.ok(ours && two);
    const update = { ...two, created: false, createRevision: 4, prevRevision: 4, lease: 7n };
    const sides = { leases: [lease], spans: [{ first: 5, last: 6 }], compactRevision: 2 };
    await driver.commit({ ...batch, ...sides, rows: [ours, update] });
    await late;
    assert.deepEqual([await shared.leases(), (await shared.changes(5, 1)).rows[0]?.lease], [[lease], 7n]);
    const stored = await database.sql(t, name, "SELECT name, old_value FROM kine ORDER BY id LIMIT 2 OFFSET 5");
    assert.deepEqual(
      stored.map(([key, old]) => `${String(key)} was ${String(old)}`),
      ["/two was 2", "/late was null"],
    );
  });

  test("a claim of everybody and a transaction of another server wait for each other in one order", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const dialect = await dialectOn(name);
    const session = await dialect.connect(AbortSignal.timeout(5000));
    t.after(() => session.end());
    await dialect.lock(session, "servers");
    const claim = driver.shared?.claim("everybody");
    await until("the claim waits", async () => {
      const waiting = `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
      return (await database.sql(t, name, waiting))[0]?.[0] === 1;
    });
    assert.equal(await dialect.commit(session, creations(0, "/a")), true);
    await claim;
    await driver.commit(creations(1, "/b"));
    assert.deepEqual(await ids(driver), [1, 2]);
  });

  test("ids go on beyond 32 bits, and kine's own follow ours", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    await driver.commit(creations(0, "compact_rev_key"));
    await driver.commit({ ...creations(1), compactRevision: 2 ** 33 });
    await database.sql(t, name, `SELECT setval('kine_id_seq', ${2 ** 33})`, `${INSERT} ('/a', 1, 0, 0, 0, 0, '1')`);
    const last = (await driver.shared?.position())?.lastRow ?? 0;
    assert.equal(last, 2 ** 33 + 1);
    await driver.commit(creations(last, "/b"));
    const rows = await database.sql(t, name, `${INSERT} ('/c', 1, 0, 0, 0, 0, '1')`, "SELECT MAX(id) FROM kine");
    assert.deepEqual(rows, [[String(2 ** 33 + 3)]]);
  });
});
