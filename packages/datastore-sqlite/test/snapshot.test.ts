import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { DatabaseSnapshot, OpenStore } from "@k3s/datastore";
import { create, just, put, query, rangeOf } from "./support/ops.ts";
import { storeAt, tempDatabase, tempFolder } from "./support/temp-store.ts";

async function take(store: OpenStore): Promise<DatabaseSnapshot> {
  return (await store.snapshot()) ?? assert.fail("not offered");
}

async function bytesOf(snapshot: DatabaseSnapshot): Promise<Buffer> {
  await using taken = snapshot;
  const bytes = Buffer.concat(await Array.fromAsync(taken.chunks));
  assert.equal(bytes.length, taken.sizeBytes);
  return bytes;
}

/** The store that a snapshot is of. */
async function restore(t: TestContext, bytes: Buffer): Promise<OpenStore> {
  const path = join(await tempFolder(t), "state.db");
  await writeFile(path, bytes);
  return storeAt(t, path);
}

describe("Store.snapshot()", () => {
  test("is a file of SQLite's with all that was written before, history included", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.leaseGrant({ id: 7n, ttlSeconds: 500 });
    for (const value of ["1", "2", "3"]) await store.txn(just(put("/a", value, { lease: 7n })));
    const expected = await store.hash(0);
    const snapshot = await take(store);
    await store.txn(create("/later", "1"));
    const copy = await restore(t, await bytesOf(snapshot));
    assert.deepEqual(await copy.hash(0), expected);
    assert.deepEqual(await copy.leaseList(), [7n]);
    assert.equal((await copy.range(query(rangeOf("/later")))).count, 0);
    assert.equal((await copy.range(query(rangeOf("/a"), { revision: 3 }))).kvs[0]?.value.toString(), "1");
    const files = await readdir(dirname(path));
    assert.ok(
      files.every((file) => !file.includes("snapshot")),
      files.join(" "),
    );
  });

  test("is of one moment while writes go on, several at once too", async (t) => {
    const store = await storeAt(t, await tempDatabase(t));
    const value = "v".repeat(20_000);
    for (let i = 0; i < 200; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, j) => store.txn(create(`/k/${i + j}`, value))));
    const taking = [take(store), take(store)];
    for (let i = 0; i < 100; i++) await store.txn(just(put(`/k/${i}`, `${i}`)));
    for (const snapshot of await Promise.all(taking)) {
      const copy = await restore(t, await bytesOf(snapshot));
      const at = copy.currentRevision;
      assert.ok(at >= 202 && at <= store.currentRevision);
      assert.deepEqual((await copy.hash(at)).hash, (await store.hash(at)).hash);
    }
  });

  test("takes the place of what a killed process left, and may be given up half way", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await writeFile(`${path}-snapshot`, "half a file");
    {
      await using snapshot = await take(store);
      for await (const chunk of snapshot.chunks) {
        assert.equal(chunk.subarray(0, 15).toString(), "SQLite format 3");
        break;
      }
    }
    assert.equal((await (await restore(t, await bytesOf(await take(store)))).status()).revision, 2);
    const last = take(store);
    await store.close(); // waits for it
    await bytesOf(await last);
  });
});
