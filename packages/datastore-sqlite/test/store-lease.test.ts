import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DriverError, openStore, StoreError, type CommitBatch, type StoreErrorReason } from "@k3s/datastore";
import { WatchRecorder, withCommit } from "@k3s/testkit";
import { openSqliteDriver } from "../src/index.ts";
import { brokenStore, failed } from "./support/broken-driver.ts";
import { below, create, del, just, put, query, rangeOf } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { silent, storeAt, tempDatabase, tempStore } from "./support/temp-store.ts";

const reason = (expected: StoreErrorReason) => (error: unknown) =>
  error instanceof StoreError && error.reason === expected;

describe("leases", () => {
  test("leaseGrant() takes full 64-bit ids, chooses one for 0, and raises tiny times", async (t) => {
    const store = await tempStore(t);
    const big = 0x7fff_ffff_ffff_fffen;
    assert.deepEqual((await store.leaseGrant({ id: big, ttlSeconds: 60 })).id, big);
    const own = await store.leaseGrant({ id: 0n, ttlSeconds: 0 });
    assert.ok(own.id > 0n);
    assert.equal(own.grantedTtlSeconds, 2);
    await assert.rejects(store.leaseGrant({ id: big, ttlSeconds: 60 }), reason("leaseExists"));
    await assert.rejects(store.leaseGrant({ id: 1n, ttlSeconds: 9_000_000_001 }), reason("leaseTtlTooLarge"));
    assert.deepEqual(new Set(await store.leaseList()), new Set([big, own.id]));
  });

  test("expiry deletes the attached keys in one revision and leaves detached ones", async (t) => {
    const store = await tempStore(t);
    const askedAt = performance.now();
    const { id } = await store.leaseGrant({ id: 0n, ttlSeconds: 2 });
    for (const key of ["/a", "/b", "/c"]) await store.txn(create(key, key, id));
    await store.txn(just(put("/c", "kept")));
    const seen = new WatchRecorder(store, rangeOf("/a", "/z"));
    await seen.count(2);
    assert.ok(performance.now() - askedAt >= 1950);
    assert.deepEqual(seen.lines, ["8 delete /a= was /a@3", "8 delete /b= was /b@4"]);
    assert.equal((await store.range(query(rangeOf("/a", "/h")))).count, 1);
    await assert.rejects(store.txn(create("/d", "", id)), reason("leaseNotFound"));
    assert.equal((await store.leaseTimeToLive(id)).remainingTtlSeconds, -1);
  });

  test("what is told of leases is durable: not an end that may still fail", async (t) => {
    const inner = await openSqliteDriver({ path: await tempDatabase(t), log: silent });
    const away = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    let isHeld = false;
    const commit = async (batch: CommitBatch) => {
      if (isHeld) {
        reached.resolve();
        await away.promise;
      }
      await inner.commit(batch);
    };
    const store = await openStore(withCommit(inner, commit), { log: silent });
    t.after(() => store.close());
    await store.leaseGrant({ id: 5n, ttlSeconds: 60 });
    isHeld = true;
    const refused = assert.rejects(store.leaseRevoke(5n), reason("unavailable"));
    const [told, ids] = [store.leaseTimeToLive(5n), store.leaseList()];
    await reached.promise;
    isHeld = false;
    away.reject(new DriverError("failed", "Cannot commit: the disk is away"));
    await refused;
    assert.equal((await told).grantedTtlSeconds, 60);
    assert.deepEqual(await ids, [5n]);
  });

  test("a lease that is renewed while others end that were due with it lives for its new term", async (t) => {
    const path = await tempDatabase(t);
    const before = await storeAt(t, path);
    const ids = Array.from({ length: 100 }, (_, i) => BigInt(i + 1)); // more than end at once
    await Promise.all(ids.map((id) => before.leaseGrant({ id, ttlSeconds: 2 })));
    await before.close();
    await sql(path, "UPDATE kine_lease SET expires_at = 1");
    const inner = await openSqliteDriver({ path, log: silent });
    const found = Promise.withResolvers<void>();
    const renewed = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const commit = async (batch: CommitBatch) => {
      if (batch.endedLeases.length > 0) {
        found.resolve();
        await renewed.promise;
      }
      await inner.commit(batch);
      if (batch.endedLeases.includes(100n)) ended.resolve();
    };
    const store = await openStore(withCommit(inner, commit), { log: silent });
    t.after(() => store.close());
    await found.promise;
    const renewedAt = performance.now();
    const kept = store.leaseKeepAlive(100n);
    renewed.resolve();
    assert.equal((await kept).remainingTtlSeconds, 2);
    await ended.promise;
    assert.ok(performance.now() - renewedAt >= 1950);
    assert.deepEqual(await store.leaseList(), []);
  });

  test("leaseRevoke() deletes the keys, and only once", async (t) => {
    const store = await tempStore(t);
    const { id } = await store.leaseGrant({ id: 77n, ttlSeconds: 60 });
    await store.txn(create("/a", "1", id));
    assert.deepEqual((await store.leaseTimeToLive(id)).keys.map(String), ["/a"]);
    assert.equal(await store.leaseRevoke(id), 4);
    assert.equal((await store.range(query(rangeOf("/a")))).count, 0);
    await assert.rejects(store.leaseRevoke(id), reason("leaseNotFound"));
    await assert.rejects(store.leaseKeepAlive(id), reason("leaseNotFound"));
  });

  test("a lease has the keys that are live under it after deletions, moves, a commit that failed and a restart", async (t) => {
    const { store, driver, path } = await brokenStore(t);
    for (const id of [5n, 6n]) await store.leaseGrant({ id, ttlSeconds: 600 });
    const names = (folder: string) => Array.from({ length: 100 }, (_, i) => `/${folder}/${i}`).toSorted();
    const puts = (folder: string, lease: bigint) => just(...names(folder).map((key) => put(key, "", { lease })));
    for (const folder of ["deleted", "kept", "moved"]) await store.txn(puts(folder, 5n));
    const [begun, end] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    let commits = 0;
    driver.commitWith = async (batch, real) => {
      if (++commits === 2) throw failed();
      begun.resolve(undefined);
      await end.promise;
      await real(batch);
    };
    const changed = [store.txn(puts("moved", 6n)), store.txn(just(del("/deleted/", "/deleted0")))];
    await begun.promise;
    const refused = assert.rejects(store.txn(just(del("/kept/", "/kept0"))), reason("unavailable"));
    end.resolve(undefined);
    await Promise.all([...changed, refused]);
    const keysOf = async (from: Pick<typeof store, "leaseTimeToLive">) =>
      Promise.all([5n, 6n].map(async (id) => (await from.leaseTimeToLive(id)).keys.map(String)));
    assert.deepEqual(await keysOf(store), [names("kept"), names("moved")]);
    await store.close();
    const again = await storeAt(t, path);
    assert.deepEqual(await keysOf(again), [names("kept"), names("moved")]);
    await again.leaseRevoke(5n);
    const left = await Promise.all(["/kept/", "/moved/"].map((folder) => again.range(query(below(folder)))));
    assert.deepEqual(
      left.map(({ count }) => count),
      [0, 100],
    );
  });

  test("the remaining time survives a restart, a renewal too", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    await first.leaseGrant({ id: 5n, ttlSeconds: 1000 });
    await first.leaseGrant({ id: 6n, ttlSeconds: 1000 });
    await first.txn(create("/a", "1", 5n));
    await first.close();
    await sql(path, "UPDATE kine_lease SET expires_at = expires_at - 700000");
    const second = await storeAt(t, path);
    const left = await second.leaseTimeToLive(5n);
    assert.ok(left.remainingTtlSeconds > 250 && left.remainingTtlSeconds <= 300, `left: ${left.remainingTtlSeconds}`);
    assert.deepEqual(left.keys.map(String), ["/a"]);
    await second.leaseKeepAlive(6n);
    await second.close();
    const third = await storeAt(t, path);
    assert.ok((await third.leaseTimeToLive(6n)).remainingTtlSeconds > 900);
    assert.deepEqual(await sql(path, "SELECT lease FROM kine WHERE name = '/a'"), [[1000]]);
  });

  test("a lease that ended while nobody ran ends its keys at the start", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    await first.leaseGrant({ id: 5n, ttlSeconds: 1000 });
    await first.txn(create("/a", "1", 5n));
    await first.close();
    await sql(path, "UPDATE kine_lease SET expires_at = 0");
    const store = await storeAt(t, path);
    const seen = new WatchRecorder(store, rangeOf("/a"), 4);
    await seen.count(1);
    assert.deepEqual(seen.lines, ["4 delete /a= was 1@3"]);
    assert.deepEqual(await sql(path, "SELECT COUNT(*) FROM kine_lease"), [[0]]);
  });
});
