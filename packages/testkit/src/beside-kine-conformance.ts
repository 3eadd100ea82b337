import assert from "node:assert/strict";
import { test } from "node:test";
import { assertServedBeside } from "./busy-guests.ts";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { contents, creations, EVERYTHING, query, rangeOf, rowIds, write } from "./store-ops.ts";
import { WatchRecorder } from "./watch-recorder.ts";

/** How kine writes a row, up to the values. */
export const KINE_INSERT =
  "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) VALUES";

interface SqlTraits {
  /** The error of a second row with a state that there is. */
  readonly duplicate: object;
  /** The statement that has ids go on behind this one. */
  readonly startIds: (last: number) => string;
}

/** What a server of ours sees of a kine on the same database, and the other way round, as tests. */
export function besideKineConformance(database: SqlTestDatabase, traits: SqlTraits): void {
  test("history compacted before we saw it: keys that ended in it are gone, and watches end instead of missing it", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    for (const key of ["/ended", "/kept", "/again"]) await store.txn(write(key, 0, "old"));
    const [early, late] = [new WatchRecorder(store, EVERYTHING, 3), new WatchRecorder(store, EVERYTHING, 10)];
    const kine = await database.connect(t, name);
    for (const statement of [
      "START TRANSACTION",
      `${KINE_INSERT} ('/ended', 0, 1, 0, 3, 0, NULL)`,
      `${KINE_INSERT} ('/again', 0, 1, 0, 5, 0, NULL)`,
      `${KINE_INSERT} ('/other', 1, 0, 0, 0, 0, 'new')`,
      `${KINE_INSERT} ('/again', 1, 0, 0, 7, 0, 'new')`,
      `${KINE_INSERT} ('/last', 1, 0, 0, 0, 0, 'new')`,
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

  test("the end of a key that was compacted at its own revision before we saw it is told all the same", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    await store.txn(write("/ended", 0, "old"));
    const recorder = new WatchRecorder(store, EVERYTHING, 3);
    const kine = await database.connect(t, name);
    for (const statement of [
      "START TRANSACTION",
      `${KINE_INSERT} ('/ended', 0, 1, 0, 3, 0, NULL)`,
      `${KINE_INSERT} ('/other', 1, 0, 0, 0, 0, 'new')`,
      "DELETE FROM kine WHERE id IN (3, 4)",
      "UPDATE kine SET prev_revision = 4 WHERE name = 'compact_rev_key'",
      "COMMIT",
    ])
      await kine.query(statement);
    const shown = (await contents(store)).filter((line) => !line.includes("health"));
    assert.deepEqual(shown, ["/other=new@5"]);
    await recorder.count(3);
    assert.deepEqual(recorder.lines, ["3 put /ended=old", "4 delete /ended= was old@3", "5 put /other=new"]);
  });

  test("D6 an id that kine burnt is settled, and rows behind it are shown", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const seen = new WatchRecorder(store, EVERYTHING, 3);
    const kine = await database.connect(t, name);
    await kine.query(`${KINE_INSERT} ('/one', 1, 0, 0, 0, 0, '1')`);
    await assert.rejects(kine.query(`${KINE_INSERT} ('/one', 1, 0, 0, 0, 0, 'again')`), traits.duplicate);
    await kine.query(`${KINE_INSERT} ('/two', 1, 0, 0, 0, 0, '2')`);
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
    await slow.query(`START TRANSACTION; ${KINE_INSERT} ('/slow', 1, 0, 0, 0, 0, '1')`);
    await fast.query(`${KINE_INSERT} ('/fast', 1, 0, 0, 0, 0, '2')`);
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
            return kine.query(`${KINE_INSERT} (${row})`).then(
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
          const insert = `${KINE_INSERT} ('${key}', 1, 0, 0, 0, 0, 'kine')`;
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
    await kine.query(`${KINE_INSERT} ('/one', 1, 0, 0, 0, 0, '1')`);
    await assert.rejects(kine.query(`${KINE_INSERT} ('/one', 1, 0, 0, 0, 0, 'again')`), traits.duplicate);
    await kine.query(`${KINE_INSERT} ('/two', 1, 0, 0, 0, 0, '2')`);
    await shared.claim("everybody");
    let isWritten = false;
    const late = other.query(`${KINE_INSERT} ('/late', 1, 0, 0, 0, 0, '3')`).then(() => (isWritten = true));
    const { rows } = await shared.changes(1, 10);
    assert.deepEqual(
      rows.map(({ id, name: key }) => `${id} ${key}`),
      ["2 /one", "3 gap-3", "4 /two"],
    );
    assert.deepEqual([await shared.position(), await shared.leases()], [{ lastRow: 4, compactRevision: 0 }, []]);
    assert.deepEqual([await rowIds(driver), String(await driver.values([2, 4]))], [[1, 2, 3, 4], "1,2"]);
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

  test("ids go on beyond 32 bits, and kine's own follow ours", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    await driver.commit(creations(0, "compact_rev_key"));
    await driver.commit({ ...creations(1), compactRevision: 2 ** 33 });
    await database.sql(t, name, traits.startIds(2 ** 33), `${KINE_INSERT} ('/a', 1, 0, 0, 0, 0, '1')`);
    const last = (await driver.shared?.position())?.lastRow ?? 0;
    assert.equal(last, 2 ** 33 + 1);
    await driver.commit(creations(last, "/b"));
    const rows = await database.sql(t, name, `${KINE_INSERT} ('/c', 1, 0, 0, 0, 0, '1')`, "SELECT MAX(id) FROM kine");
    assert.deepEqual(rows, [[database.asRead(2 ** 33 + 3)]]);
  });
}
