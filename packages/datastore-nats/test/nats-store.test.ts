import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertOneCompacts } from "@k3s/testkit";
import { openTestStore, startNats } from "./support/nats-fixture.ts";
import { del, everything, just, put, texts, when } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";

describe("Store on NATS", () => {
  test("keeps keys, revisions, transactions and leases over a restart of both sides", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    assert.equal(store.currentRevision, 2);
    const { id } = await store.leaseGrant({ id: 77n, ttlSeconds: 600 });
    await store.txn(just(put("/a", "1", id), put("/b", "1")));
    await store.txn(just(put("/a", "2", id)));
    await store.txn(just(del("/b")));
    await store.txn(just(put("/b", "3")));
    const before = texts(await store.range(everything()));
    assert.deepEqual(before, ["/a=2@5", "/b=3@7", '/registry/health={"health":"true"}@2']);
    await store.close();
    await server.stop();
    await server.restart();
    const again = await openTestStore(t, server);
    assert.deepEqual(texts(await again.range(everything())), before);
    assert.deepEqual(texts(await again.range(everything({ revision: 4 }))).slice(0, 2), ["/a=1@4", "/b=1@4"]);
    const lease = await again.leaseTimeToLive(77n);
    assert.deepEqual([lease.grantedTtlSeconds, lease.keys.map(String)], [600, ["/a"]]);
    const recorder = new Recorder(again, 4);
    await recorder.count(5);
    assert.deepEqual(recorder.lines, [
      "4 put /a=1",
      "4 put /b=1",
      "5 put /a=2 was 1",
      "6 delete /b= was 1",
      "7 put /b=3",
    ]);
  });

  test("keeps a lease with a negative id over a restart, with the keys that go with it", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    await store.leaseGrant({ id: -5n, ttlSeconds: 600 });
    await store.txn(just(put("/a", "1"), put("/b", "1", -5n)));
    await store.close();
    const again = await openTestStore(t, server);
    const health = '/registry/health={"health":"true"}@2';
    assert.deepEqual(texts(await again.range(everything())), ["/a=1@4", "/b=1@4", health]);
    const lease = await again.leaseTimeToLive(-5n);
    assert.deepEqual([lease.grantedTtlSeconds, lease.keys.map(String)], [600, ["/b"]]);
    await again.leaseRevoke(-5n);
    assert.deepEqual(texts(await again.range(everything())), ["/a=1@4", health]);
    await again.close();
    const last = await openTestStore(t, server);
    assert.deepEqual(texts(await last.range(everything())), ["/a=1@4", health]);
    assert.deepEqual(await last.leaseList(), []);
  });

  test("two servers see each other's writes at once, in one order, each once", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openTestStore(t, server), await openTestStore(t, server)];
    const watches = [new Recorder(one), new Recorder(two)];
    const writes = Array.from({ length: 200 }, (_, i) =>
      (i % 2 ? one : two).txn(when(`/k${i}`, 0, put(`/k${i}`, `${i}`))),
    );
    const results = await Promise.all(writes);
    assert.equal(new Set(results.map(({ revision }) => revision)).size, 200);
    assert.ok(results.every(({ succeeded }) => succeeded));
    for (const store of [one, two]) assert.equal((await store.range(everything())).count, 201);
    for (const watch of watches) await watch.count(200);
    assert.deepEqual(watches[0]?.lines, watches[1]?.lines);
    assert.deepEqual(
      watches[0]?.events.map(({ kv }) => kv.modRevision),
      Array.from({ length: 200 }, (_, i) => i + 3),
    );
  });

  test("of compactions at one revision on two servers at once only one is carried out", async (t) => {
    const server = await startNats(t);
    await assertOneCompacts([await openTestStore(t, server), await openTestStore(t, server)]);
  });

  test("of writers that compare the same revision on two servers exactly one wins", async (t) => {
    const server = await startNats(t);
    const stores = [await openTestStore(t, server), await openTestStore(t, server)];
    let mod = (await stores[0]?.txn(just(put("/counter", "0"))))?.revision ?? 0;
    for (let round = 1; round <= 30; round++) {
      const tries = stores.flatMap((store, i) =>
        [1, 2].map((n) => store.txn(when("/counter", mod, put("/counter", `${round} ${i} ${n}`)))),
      );
      const won = (await Promise.all(tries)).filter(({ succeeded }) => succeeded);
      assert.equal(won.length, 1, `round ${round}`);
      mod = won[0]?.revision ?? 0;
    }
  });
});
