import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DriverError, StoreError, type Store } from "@k3s/datastore";
import { until, WatchRecorder } from "@k3s/testkit";
import { BrokenDriver, brokenStore, failed, nextCommit } from "./support/broken-driver.ts";
import { below, create, del, just, put, query } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { storeAt, tempStore } from "./support/temp-store.ts";

/** More than an ordinary plan deletes. */
const KEYS = 4000;
const OPS = 125;
const MANY = below("/many/");
const deletion = just(del("/many/", "/many0"));
const unavailable = (error: unknown) => error instanceof StoreError && error.reason === "unavailable";

/** Answers with the revision at which all keys are there. */
async function fill(store: Store): Promise<number> {
  const puts = Array.from({ length: KEYS }, (_, i) => put(`/many/${String(i).padStart(5, "0")}`, `value ${i}`));
  for (let at = 0; at < KEYS; at += OPS) await store.txn(just(...puts.slice(at, at + OPS)));
  return store.currentRevision;
}

async function countOf(store: Store, revision = 0): Promise<number> {
  return (await store.range(query(MANY, { countOnly: true, revision }))).count;
}

/** Stops the next commit until `end` is called. */
function holdCommit(driver: BrokenDriver): { readonly begun: Promise<void>; readonly end: () => void } {
  const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  nextCommit(driver, async (batch, real) => {
    begun.resolve();
    await end.promise;
    await real(batch);
  });
  return { begun: begun.promise, end: end.resolve };
}

describe("deleting many keys at once", () => {
  test("is one revision, and what was before can be read until it is compacted", async (t) => {
    const store = await tempStore(t);
    const full = await fill(store);
    const { revision, results } = await store.txn(deletion);
    assert.deepEqual([revision, results], [full + KEYS, [{ kind: "delete", revision, deleted: KEYS, prevKvs: [] }]]);
    assert.deepEqual([await countOf(store), await countOf(store, full), store.currentRevision], [0, KEYS, full + KEYS]);
    const [first] = (await store.range(query(MANY, { revision: full, limit: 1 }))).kvs;
    assert.equal(first?.value.toString(), "value 0");
    await store.compact(revision);
    await assert.rejects(countOf(store, full), (error) => error instanceof StoreError && error.reason === "compacted");
    assert.deepEqual((await store.txn(deletion)).results, [{ kind: "delete", revision, deleted: 0, prevKvs: [] }]);
  });

  test("is told to a watch in one batch with the values before, and what follows after it", async (t) => {
    const store = await tempStore(t);
    const full = await fill(store);
    const [seen, other] = [new WatchRecorder(store, MANY), new WatchRecorder(store, below("/other/"))];
    await store.txn(deletion);
    assert.equal(other.watch.progress(), full + KEYS);
    const late = await store.txn(create("/many/00007", "late"));
    await store.txn(create("/other/1", "1"));
    await seen.count(KEYS + 1);
    const [all, after] = seen.batches;
    assert.deepEqual([seen.batches.length, all?.events.length, all?.revision], [2, KEYS, full + KEYS]);
    const told = all?.events.map(({ type, kv, prevKv }) => `${type} ${kv.modRevision} ${prevKv?.value.toString()}`);
    assert.deepEqual(
      told,
      Array.from({ length: KEYS }, (_, i) => `delete ${full + KEYS} value ${i}`),
    );
    assert.deepEqual([after?.revision, other.lines], [late.revision, [`${late.revision + 1} put /other/1=1`]]);
    await until("it is live", () => Promise.resolve(seen.watch.progress() === store.currentRevision));
  });

  test("comes before the writes that were asked meanwhile, and reads do not wait for it", async (t) => {
    const { store, driver } = await brokenStore(t);
    const full = await fill(store);
    const { begun, end } = holdCommit(driver);
    const deleted = store.txn(deletion);
    await begun;
    const created = store.txn(create("/many/00000", "again"));
    assert.deepEqual([await countOf(store), store.currentRevision], [KEYS, full]);
    end();
    assert.equal((await deleted).revision, full + KEYS);
    assert.partialDeepStrictEqual(await created, { succeeded: true, revision: full + KEYS + 1 });
    assert.equal(await countOf(store), 1);
  });

  test("waits for the writes that were asked before it", async (t) => {
    const { store, driver } = await brokenStore(t);
    await fill(store);
    const { begun, end } = holdCommit(driver);
    const before = store.txn(create("/many/before", "1"));
    await begun;
    const deleted = store.txn(deletion);
    end();
    const [{ revision: full }, { revision, results }] = await Promise.all([before, deleted]);
    assert.deepEqual(results, [{ kind: "delete", revision, deleted: KEYS + 1, prevKvs: [] }]);
    assert.equal(await countOf(store, full), KEYS + 1);
  });

  test("comes after another one, also when a commit before both fails", async (t) => {
    const { store, driver } = await brokenStore(t);
    const full = await fill(store);
    const seen = [new WatchRecorder(store, MANY)];
    const [begun, end] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    nextCommit(driver, async () => {
      begun.resolve(undefined);
      await end.promise;
    });
    const before = store.txn(create("/many/before", "1"));
    await begun.promise;
    const deletions = Array.from({ length: 3 }, async () => {
      const { results } = await store.txn(deletion);
      seen.push(new WatchRecorder(store, MANY)); // live before the next one is carried out
      return results[0];
    });
    end.reject(failed());
    await assert.rejects(before, unavailable);
    assert.deepEqual(
      await Promise.all(deletions),
      [KEYS, 0, 0].map((count) => ({ kind: "delete", revision: full + KEYS, deleted: count, prevKvs: [] })),
    );
    assert.partialDeepStrictEqual(await store.txn(create("/many/later", "1")), { succeeded: true });
    await Promise.all(seen.map((recorder, i) => recorder.count(i === 0 ? KEYS + 1 : 1)));
    const told = [[full + KEYS, KEYS]];
    const later = [[full + KEYS + 1, 1]];
    assert.deepEqual(
      seen.map(({ batches }) => batches.map(({ revision, events }) => [revision, events.length])),
      [[...told, ...later], later, later, later],
    );
  });

  test("leaves no trace where its commit fails", async (t) => {
    const { store, driver } = await brokenStore(t);
    const full = await fill(store);
    const seen = new WatchRecorder(store, MANY);
    nextCommit(driver, () => Promise.reject(failed()));
    await assert.rejects(store.txn(deletion), unavailable);
    assert.deepEqual([await countOf(store), store.currentRevision, seen.watch.progress()], [KEYS, full, full]);
    assert.equal((await store.txn(deletion)).revision, full + KEYS);
    await seen.count(KEYS);
  });

  test("is shown where it was written although its commit failed", async (t) => {
    const { store, driver } = await brokenStore(t);
    const full = await fill(store);
    const seen = new WatchRecorder(store, MANY);
    nextCommit(driver, async (batch, real) => {
      await real(batch);
      throw failed();
    });
    await assert.rejects(store.txn(deletion), unavailable);
    await store.txn(create("/other", "1"));
    assert.deepEqual([await countOf(store), store.currentRevision], [0, full + KEYS + 1]);
    await seen.count(KEYS);
  });

  test("is planned anew on top of what another program wrote", async (t) => {
    const { store, driver, path } = await brokenStore(t);
    const full = await fill(store);
    const values = `(${full + 1}, '/many/theirs', 1, 0, 0, 0, 0, CAST('1' AS BLOB), NULL)`;
    nextCommit(driver, async () => {
      await sql(path, `INSERT INTO kine VALUES ${values}`);
      throw new DriverError("conflict", "Cannot commit: the test says so");
    });
    const { revision, results } = await store.txn(deletion);
    assert.deepEqual(
      [revision, results],
      [full + KEYS + 2, [{ kind: "delete", revision, deleted: KEYS + 1, prevKvs: [] }]],
    );
  });

  test("is finished by close(), and refused after it", async (t) => {
    const { store, driver, path } = await brokenStore(t);
    const full = await fill(store);
    const { begun, end } = holdCommit(driver);
    const deleted = store.txn(deletion);
    await begun;
    const waiting = store.txn(create("/other", "1"));
    const closed = store.close();
    end();
    await assert.rejects(waiting, unavailable);
    assert.equal((await deleted).revision, full + KEYS);
    await closed;
    await assert.rejects(store.txn(deletion), unavailable);
    const again = await storeAt(t, path);
    assert.deepEqual([await countOf(again), await countOf(again, full)], [0, KEYS]);
  });
});
