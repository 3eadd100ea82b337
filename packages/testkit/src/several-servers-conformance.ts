import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { emptyBatch, openStore, type Txn } from "@k3s/datastore";
import { collectLog } from "./collect-log.ts";
import { assertOneCompacts } from "./one-compacts.ts";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { creations, EVERYTHING, put, query, rangeOf, rowIds, write } from "./store-ops.ts";
import { until } from "./until.ts";
import { WatchRecorder } from "./watch-recorder.ts";
import { withClaim, withCommit } from "./with-commit.ts";

/** Time enough for a compaction that nobody keeps back, and far less than a claim lasts. */
const LOOK_MS = 300;

/** Takes the lock of commits to the named database, on a connection of its own; resolves with what says that this one is lost. */
type HoldLock = (t: TestContext, name: string) => Promise<AbortSignal>;

/** What servers of ours on one database see of each other, as tests. */
export function severalServersConformance(database: SqlTestDatabase, holdLock: HoldLock): void {
  test("start on a new database at once", async (t) => {
    const name = database.newName();
    const stores = await Promise.all(Array.from({ length: 4 }, () => database.store(t, name)));
    for (const store of stores) assert.equal((await store.range(query(rangeOf("/registry/health")))).count, 1);
  });

  test("a renewal that comes late takes back none that came after it", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const ending = (expiresAtMs: number) => [{ id: 5n, ttlSeconds: 60, expiresAtMs }];
    for (const expiresAtMs of [7, 9]) await driver.commit({ ...emptyBatch, leases: ending(expiresAtMs) });
    await driver.commit({ ...emptyBatch, leases: ending(8) });
    assert.deepEqual(await driver.shared?.leases(), ending(10));
  });

  test("a renewal keeps others from ending the lease also when the clock has gone back", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const ending = (expiresAtMs: number) => [{ id: 5n, ttlSeconds: 60, expiresAtMs }];
    await driver.commit({ ...emptyBatch, leases: ending(9000) });
    await driver.commit({ ...emptyBatch, leases: ending(4000), requiredLeases: [5n] });
    const due = { endedLeases: [5n], dueLeases: [{ id: 5n, expiresAtMs: 9000 }] };
    await assert.rejects(driver.commit({ ...emptyBatch, ...due }), { kind: "conflict" });
    assert.equal((await driver.shared?.leases())?.length, 1);
  });

  test("a lease that a commit grants, gives to a key and ends need not be stored before, one that it only ends must be", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const plain = creations(0, "/leased");
    const batch = { ...plain, rows: plain.rows.map((row) => ({ ...row, lease: 77n })), endedLeases: [77n] };
    await assert.rejects(driver.commit({ ...batch, requiredLeases: [77n] }), { kind: "conflict" });
    await driver.commit(batch);
    assert.deepEqual([await rowIds(driver), await driver.shared?.leases()], [[1], []]);
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

  test("a transaction that writes and reads the past is refused what another server compacts before its commit", async (t) => {
    const name = database.newName();
    const other = await database.store(t, name);
    for (const value of ["1", "2", "3"]) await other.txn(overwrite("/k", value));
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const { shared = assert.fail() } = driver;
    let [past, claims] = [Number(other.currentRevision) - 2, 0];
    const beside = withClaim(driver, async (scope) => {
      if (claims++ === 0) await other.compact(past + 1);
      return shared.claim(scope);
    });
    const store = await openStore(beside, { log: collectLog().log });
    t.after(() => store.close());
    const readPast = () => ({ kind: "range", query: query(rangeOf("/k"), { revision: past }) }) as const;
    const both = () => ({ ...overwrite("/k", "4"), success: [put("/k", "4"), readPast()] });
    await assert.rejects(store.txn(both()), { reason: "compacted" });
    assert.ok(claims > 0);
    past++;
    const { results } = await store.txn(both());
    const [, range] = results;
    assert.deepEqual(range?.kind === "range" && range.range.kvs.map(({ value }) => value.toString()), ["2"]);
  });

  test("a compaction of another server waits for the commit of a transaction that writes and reads the past", async (t) => {
    const name = database.newName();
    const other = await database.store(t, name);
    for (const value of ["1", "2", "3"]) await other.txn(overwrite("/k", value));
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const past = Number(other.currentRevision) - 2;
    let compaction: Promise<unknown> | undefined;
    const compacted: unknown[] = [];
    const beside = withCommit(driver, async (batch) => {
      compaction ??= other.compact(past + 1);
      await Promise.race([compaction, sleep(LOOK_MS)]);
      compacted.push((await driver.shared?.position())?.compactRevision);
      await driver.commit(batch);
    });
    const store = await openStore(beside, { log: collectLog().log });
    t.after(() => store.close());
    const readPast = { kind: "range", query: query(rangeOf("/k"), { revision: past }) } as const;
    await store.txn({ ...overwrite("/k", "4"), success: [put("/k", "4"), readPast] });
    assert.deepEqual(compacted, [0]);
    await compaction;
  });

  test("of compactions at one revision on two servers at once only one is carried out", async (t) => {
    const name = database.newName();
    await assertOneCompacts([await database.store(t, name), await database.store(t, name)]);
  });

  test("what a server that ended had only marked as compacted is removed by the other", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    for (const value of ["1", "2", "3"]) await store.txn(overwrite("/k", value));
    const ended = await database.open(t, { dsn: database.dsn(name) });
    const last = Number(store.currentRevision);
    await ended.commit({ ...emptyBatch, compactRevision: last });
    await ended.commit(creations(last, "/new")); // told together with the compaction
    assert.equal((await store.range(query(rangeOf("/new")))).count, 1);
    await until("the replaced rows are gone", async () => {
      const left = await rowIds(ended);
      return left.includes(last) && !left.includes(last - 1) && !left.includes(last - 2);
    });
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
    assert.deepEqual(await rowIds(other), [1]);
    const lease = { id: 7n, ttlSeconds: 60, expiresAtMs: 5 };
    await other.commit({ ...creations(1), rows: [{ ...row, lease: 7n }], leases: [lease] });
    assert.deepEqual(await rowIds(one), [1, 2]);
  });

  test("a server that stops while it has the lock gives it back", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const lost = await holdLock(t, name);
    await driver.commit(creations(0, "/a"));
    await until("the session is lost", () => Promise.resolve(lost.aborted)); // the word of it comes over another connection
    assert.deepEqual(await rowIds(driver), [1]);
  });
}

function overwrite(key: string, value: string): Txn {
  return { compare: [], success: [put(key, value)], failure: [] };
}
