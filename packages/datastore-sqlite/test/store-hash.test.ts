import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StoreError, type Store } from "@k3s/datastore";
import { create, del, just, put, remove, update } from "./support/ops.ts";
import { emptyStore, eventually, storeAt, tempDatabase } from "./support/temp-store.ts";
import { sql } from "./support/python.ts";

/** Revisions 2 to 7. */
async function fill(store: Store, value = "2"): Promise<void> {
  await store.txn(create("/a", "1"));
  await store.txn(create("/b", "1"));
  await store.txn(update("/a", 2, value));
  await store.txn(remove("/b", 3));
  await store.txn(create("/b", "again"));
  await store.txn(create("/c", ""));
}

const isReason = (reason: string) => (error: unknown) => error instanceof StoreError && error.reason === reason;

describe("Store.hash()", () => {
  test("is the same for the same history, at every revision of it", async (t) => {
    const [one, other] = [await emptyStore(t), await emptyStore(t)];
    await Promise.all([fill(one), fill(other)]);
    const seen = new Set<number>();
    for (let at = 1; at <= 7; at++) {
      const expected = await one.hash(at);
      assert.deepEqual(await other.hash(at), expected);
      assert.deepEqual([expected.revision, expected.hashRevision, expected.compactRevision], [7, at, 0]);
      seen.add(expected.hash);
    }
    assert.equal(seen.size, 7);
    assert.deepEqual(await one.hash(0), await one.hash(7));
    await one.txn(create("/d", "later"));
    assert.equal((await one.hash(7)).hash, (await other.hash(7)).hash);
  });

  test("differs with a value, a key and the way to the same keys", async (t) => {
    const [one, value, key, way] = [await emptyStore(t), await emptyStore(t), await emptyStore(t), await emptyStore(t)];
    await Promise.all([fill(one), fill(value, "3"), fill(key), fill(way)]);
    await one.txn(create("/d", "1"));
    await value.txn(create("/d", "1"));
    await key.txn(create("/e", "1"));
    await way.txn(just(put("/c", "")));
    const hashes = await Promise.all([one, value, key, way].map(async (store) => (await store.hash(0)).hash));
    assert.equal(new Set(hashes).size, 4);
  });

  test("tells nothing of how far a compaction has come, and says up to where it went", async (t) => {
    const path = await tempDatabase(t);
    const [one, other] = [await emptyStore(t), await storeAt(t, path, { healthKey: false })];
    await Promise.all([fill(one), fill(other)]);
    const before = await one.hash(0);
    await one.compact(5);
    const marked = await one.hash(0);
    assert.notEqual(marked.hash, before.hash);
    assert.equal(marked.compactRevision, 5);
    await other.compact(5);
    await eventually(async () => {
      assert.deepEqual(await sql(path, "SELECT id FROM kine WHERE id = 2"), []);
    });
    assert.deepEqual(await other.hash(0), marked);
    await other.close();
    const reopened = await storeAt(t, path, { healthKey: false });
    assert.deepEqual(await reopened.hash(0), marked);
    assert.deepEqual(await reopened.hash(5), await one.hash(5));
  });

  test("refuses revisions as reads do", async (t) => {
    const store = await emptyStore(t);
    await fill(store);
    await store.compact(4);
    await assert.rejects(store.hash(3), isReason("compacted"));
    await assert.rejects(store.hash(8), isReason("futureRevision"));
    assert.equal((await store.hash(4)).hashRevision, 4);
  });

  test("holds while others write, delete and compact", async (t) => {
    const store = await emptyStore(t);
    for (let i = 0; i < 1500; i += 100)
      await Promise.all(Array.from({ length: 100 }, (_, j) => store.txn(create(`/k/${i + j}`, "v"))));
    const at = store.currentRevision;
    const expected = (await store.hash(at)).hash;
    const hashing = Promise.all([store.hash(at), store.hash(at)]);
    for (let i = 0; i < 200; i++) await store.txn(just(i % 2 === 0 ? put(`/k/${i}`, "w") : del(`/k/${i}`)));
    for (const { hash } of await hashing) assert.equal(hash, expected);
    assert.equal((await store.hash(at)).hash, expected);
    const overtaken = store.hash(0);
    await store.compact(store.currentRevision);
    assert.ok([0, store.currentRevision].includes((await overtaken).compactRevision));
  });
});
