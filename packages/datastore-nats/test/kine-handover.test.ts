import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "@k3s/testkit";
import { KinePeer } from "./support/kine-peer.ts";
import { openTestStore, startNats } from "./support/nats-fixture.ts";
import { del, everything, just, put, rangeOf, texts, when } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";

describe("hard case 35, a bucket of kine", () => {
  test("D1 is read with its tombstones, delete markers, re-created keys and values in S2", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    await kine.create("/registry/health", '{"health":"true"}');
    await kine.update("/registry/health", '{"health":"true"}');
    await kine.create("/a", "a".repeat(300));
    await kine.create("/b", "1");
    await kine.delete("/b");
    await kine.create("/b", "2");
    await kine.delete("/a");
    await kine.create("compact_rev_key_apiserver", "1|0");
    const store = await openTestStore(t, server);
    const range = await store.range(everything());
    assert.deepEqual(texts(range), ["/b=2@7", '/registry/health={"health":"true"}@2']);
    const old = texts(await store.range(everything({ revision: 4 })));
    assert.deepEqual(old, [`/a=${"a".repeat(300)}@3`, "/b=1@4", '/registry/health={"health":"true"}@2']);
    const recorder = new Recorder(store, 4);
    await recorder.count(4);
    const long = "a".repeat(300);
    assert.deepEqual(recorder.lines, ["4 put /b=1", "5 delete /b= was 1", "7 put /b=2", `8 delete /a= was ${long}`]);
    assert.deepEqual(await kine.list(), {
      "/registry/health": '{"health":"true"}',
      "/b": "2",
      compact_rev_key_apiserver: "1|0",
      compact_rev_key: "",
    });
  });

  test("D5 goes back to kine with deletes that its watches see and keys that it can create again", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    await store.txn(just(put("/a", "1")));
    await store.txn(just(put("/a", "2")));
    await store.txn(just(del("/a")));
    await store.txn(just(put("/b", "1"), put("/c", "1")));
    await store.close();
    const kine = await KinePeer.open(t, server);
    assert.deepEqual(await kine.list(), {
      "/registry/health": '{"health":"true"}',
      "/b": "1",
      "/c": "1",
      compact_rev_key: "",
    });
    assert.deepEqual((await kine.events()).slice(2), [
      "3 create /a",
      "4 update /a",
      "5 delete /a",
      "6 create /b",
      "7 create /c",
    ]);
    await kine.create("/a", "kine");
    await kine.update("/b", "kine");
    await kine.delete("/c");
    const again = await openTestStore(t, server);
    assert.deepEqual(texts(await again.range(everything())).slice(0, 2), ["/a=kine@8", "/b=kine@9"]);
    assert.equal((await again.txn(when("/c", 0, put("/c", "back")))).succeeded, true);
    assert.equal((await again.txn(when("/b", 9, del("/b")))).succeeded, true);
    assert.deepEqual((await kine.list())["/c"], "back");
  });

  test("O9 may be written by kine meanwhile: its changes are told, ours are planned anew", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const kine = await KinePeer.open(t, server);
    const recorder = new Recorder(store);
    const made = await kine.create("/kine", "1");
    await until("the store shows it", async () => (await store.range(everything({ serializable: true }))).count === 2);
    const { revision, succeeded } = await store.txn(when("/kine", made, put("/kine", "2")));
    assert.deepEqual([succeeded, revision], [true, made + 1]);
    await kine.delete("/kine");
    assert.equal((await store.txn(when("/kine", 0, put("/kine", "3")))).succeeded, true);
    await recorder.count(4);
    assert.deepEqual(recorder.lines, [
      "3 put /kine=1",
      "4 put /kine=2 was 1",
      "5 delete /kine= was 2",
      "7 put /kine=3",
    ]);
  });

  test("gives keys of kine with a time to live a lease that is kept over a restart", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    await kine.create("/leased", "1", 900);
    const store = await openTestStore(t, server);
    const [lease = 0n] = await store.leaseList();
    assert.deepEqual((await store.leaseTimeToLive(lease)).keys.map(String), ["/leased"]);
    await store.close();
    const again = await openTestStore(t, server);
    assert.deepEqual(await again.leaseList(), [lease]);
    assert.deepEqual((await again.leaseTimeToLive(lease)).keys.map(String), ["/leased"]);
  });

  test("D7, D8 keeps the compaction key as kine does: version|value, read by us in the old form too", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    await kine.create("/registry/health", '{"health":"true"}');
    await kine.create("compact_rev_key_apiserver", "1");
    const store = await openTestStore(t, server);
    const read = async () => (await store.range({ ...everything(), ...rangeOf("compact_rev_key") })).kvs[0];
    const old = await read();
    assert.deepEqual([old?.version, old?.value.toString()], [1, "0"]);
    const guard = { ...rangeOf("compact_rev_key"), result: "equal", target: { field: "version", value: 1 } } as const;
    const txn = { compare: [guard], success: [put("compact_rev_key", "7|x")], failure: [] };
    assert.equal((await store.txn(txn)).succeeded, true);
    assert.equal((await store.txn(txn)).succeeded, false);
    assert.equal((await kine.list())["compact_rev_key_apiserver"], "2|7|x");
  });
});
