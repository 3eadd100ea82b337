import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { repeat } from "@k3s/async";
import { openStore, StoreError, type Driver } from "@k3s/datastore";
import { until, type NatsServer } from "@k3s/testkit";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { encodeBase58 } from "../src/base58.ts";
import { KinePeer } from "./support/kine-peer.ts";
import { openDriver, openTestStore, quietLog, startNats } from "./support/nats-fixture.ts";
import { del, everything, just, put, rangeOf, texts } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";

/** Rows that a store reads at a time. */
const PAGE_ROWS = 1000;

const isCompacted = (error: unknown) => error instanceof StoreError && error.reason === "compacted";

/** A driver whose changes are not read for a while. */
function holdChanges(driver: Driver): { readonly driver: Driver; hold(): void; release(): void } {
  const inner = driver.shared;
  assert.ok(inner !== undefined);
  let gate = Promise.withResolvers<undefined>();
  gate.resolve(undefined);
  const bound = <T extends object>(target: T, own: Partial<T>): T =>
    new Proxy(target, {
      get(_, name): unknown {
        const value: unknown = Reflect.get(name in own ? own : target, name);
        return typeof value === "function" && !(name in own) ? value.bind(target) : value;
      },
    });
  const shared = bound(inner, { changes: (after, limit) => gate.promise.then(() => inner.changes(after, limit)) });
  return {
    driver: bound(driver, { shared }),
    hold: () => (gate = Promise.withResolvers()),
    release: () => gate.resolve(undefined),
  };
}

/** Two servers of a bucket that keeps two messages of each key; what the other one reads can be held up. */
async function withSlowOther(t: TestContext, server: NatsServer) {
  const store = await openTestStore(t, server, "?revHistory=2");
  const driver = await openDriver(t, server, "?revHistory=2");
  const slow = holdChanges(driver);
  const other = await openStore(slow.driver, { log: quietLog() });
  t.after(() => other.close());
  return { store, driver, slow, other };
}

describe("the bounded history of a bucket", () => {
  test("is compacted for a server that starts: reads and watches below it are refused", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=3");
    await store.txn(just(put("/cold", "1"))); // 3
    for (let i = 4; i <= 10; i++) await store.txn(just(put("/hot", `${i}`)));
    await store.close();
    const again = await openTestStore(t, server, "?revHistory=3");
    assert.equal((await again.status()).compactRevision, 8);
    assert.deepEqual(texts(await again.range(everything({ revision: 8 }))).slice(0, 2), ["/cold=1@3", "/hot=8@8"]);
    await assert.rejects(again.range(everything({ revision: 7 })), isCompacted);
    assert.deepEqual(await new Recorder(again, 7).ended(), { reason: "compacted", compactRevision: 8 });
    const recorder = new Recorder(again, 8);
    await recorder.count(3);
    assert.deepEqual(recorder.lines, ["8 put /hot=8", "9 put /hot=9 was 8", "10 put /hot=10 was 9"]);
  });

  test("is compacted for a server that runs as soon as it misses a value", async (t) => {
    const server = await startNats(t);
    const driver = await openDriver(t, server, "?revHistory=3");
    const store = await openStore(driver, { log: quietLog(), healthKey: true, valueCacheBytes: 1 });
    t.after(() => store.close());
    for (let i = 3; i <= 9; i++) await store.txn(just(put("/hot", `${i}`)));
    assert.equal((await store.status()).compactRevision, 0);
    await assert.rejects(store.range(everything({ revision: 4 })), isCompacted);
    assert.equal((await store.status()).compactRevision, 5);
    const end = await new Recorder(store, 6).ended();
    assert.equal(end?.reason, "compacted");
    assert.deepEqual(texts(await store.range(everything({ revision: 8 }))).slice(0, 1), ["/hot=8@8"]);
  });

  test("of kine is compacted up to the oldest row of a key whose earlier ones may be gone", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server, 3);
    await kine.create("/a", "1"); // 1
    await kine.delete("/a"); // 2, 3
    await kine.create("/b", "1"); // 4
    await kine.create("/a", "2"); // 5
    await kine.update("/a", "3"); // 6
    await kine.update("/a", "4"); // 7
    const store = await openTestStore(t, server, "?revHistory=3");
    assert.equal((await store.status()).compactRevision, 5);
    await assert.rejects(store.range(everything({ revision: 4 })), isCompacted);
    assert.deepEqual(texts(await store.range(everything({ revision: 5 }))), ["/a=2@5", "/b=1@4"]);
  });

  test("does not keep a fast key from being told by another server, event by event", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const other = await openTestStore(t, server);
    const recorder = new Recorder(other);
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.txn(just(put("/hot", `${i}`)))));
    await recorder.count(300);
    assert.deepEqual(
      recorder.events.map(({ kv }) => kv.modRevision),
      Array.from({ length: 300 }, (_, i) => i + 3),
    );
    assert.equal((await other.status()).compactRevision, 0);
  });

  test("ends the watches of a server that missed some of it, instead of leaving events out", async (t) => {
    const server = await startNats(t);
    const { store, slow, other } = await withSlowOther(t, server);
    const [live, later] = [new Recorder(other), new Recorder(other, 50)];
    slow.hold();
    const value = "x".repeat(300_000); // more in all than a driver keeps unread
    for (let i = 3; i < 63; i++) await store.txn(just(put(i % 2 === 0 ? "/hot" : "/warm", value)));
    const cold = await store.txn(just(put("/cold", "1")));
    slow.release();
    assert.deepEqual(await live.ended(), { reason: "compacted", compactRevision: cold.revision });
    assert.deepEqual(await later.ended(), { reason: "compacted", compactRevision: cold.revision });
    assert.equal((await other.range(everything())).count, 4);
    assert.equal((await other.status()).compactRevision, cold.revision);
    await assert.rejects(other.range(everything({ revision: cold.revision - 1 })), isCompacted);
  });

  test("is told to no watch of a server that missed some of it, and no value is read for that", async (t) => {
    const server = await startNats(t);
    const { store, driver, slow, other } = await withSlowOther(t, server);
    const read = t.mock.method(driver, "values");
    slow.hold();
    const value = "x".repeat(300_000); // more in all than a driver keeps unread
    const lost = await store.txn(just(put("/hot", value)));
    for (let i = 0; i < 60; i++) await store.txn(just(put(i < 3 ? "/hot" : `/${i}`, value)));
    slow.release();
    assert.equal((await other.range(everything({ countOnly: true }))).count, 59);
    assert.ok((await other.status()).compactRevision > lost.revision);
    assert.equal(read.mock.callCount(), 0);
    assert.deepEqual(
      (await other.range(everything(rangeOf("/59")))).kvs.map((kv) => kv.value.length),
      [value.length],
    );
  });

  test("takes nothing back of a transaction that lost its row at the end of a page before another server read it", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const slow = holdChanges(await openDriver(t, server));
    const other = await openStore(slow.driver, { log: quietLog() });
    t.after(() => other.close());
    await store.txn(just(put("/x0", "old")));
    assert.equal((await other.range(everything())).count, 2);
    slow.hold();
    const value = "x".repeat(300_000); // more in all than a driver keeps unread
    const fill = (i: number) => store.txn(just(put(`/fill/${i}`, i < 60 ? value : "")));
    await Promise.all(Array.from({ length: PAGE_ROWS - 5 }, (_, i) => fill(i)));
    const keys = Array.from({ length: 10 }, (_, i) => `/x${i}`);
    const { revision } = await store.txn(just(...keys.map((key) => put(key, "new"))));
    for (let i = 0; i < 12; i++) await store.txn(just(put("/x4", "newer")));
    slow.release();
    const [first] = (await other.range(everything(rangeOf("/x0")))).kvs;
    assert.deepEqual([first?.value.toString(), first?.modRevision], ["new", revision]);
    assert.deepEqual(texts(await other.range(everything())), texts(await store.range(everything())));
    assert.equal((await other.status()).revision, revision + 12); // nobody took it back
  });

  test("hides the end of no lease from a server that missed the row that told of it", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=2");
    const slow = holdChanges(await openDriver(t, server, "?revHistory=2"));
    const other = await openStore(slow.driver, { log: quietLog() });
    t.after(() => other.close());
    for (const id of [7n, 8n]) await store.leaseGrant({ id, ttlSeconds: 600 });
    for (const id of [7n, 8n]) await other.txn(just(put(`/leased/${id}`, "1", id)));
    slow.hold();
    await store.txn(just(put("/hot", "1", 7n)));
    await store.leaseRevoke(7n);
    await store.leaseGrant({ id: 9n, ttlSeconds: 600 });
    const value = "x".repeat(300_000); // more in all than a driver keeps unread
    for (let i = 0; i < 60; i++) await store.txn(just(put(i % 2 === 0 ? "/hot" : "/leased/7", value)));
    slow.release();
    await assert.rejects(other.txn(just(put("/late", "1", 7n))), { reason: "leaseNotFound" });
    for (const id of [8n, 9n]) await other.txn(just(put(`/later/${id}`, "1", id)));
    assert.equal((await other.leaseTimeToLive(8n)).keys.length, 2);
  });

  test("takes no row that tells of a lease's end before the lease's entry is gone", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=2");
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const entries = async () => {
      const manager = await jetstreamManager(connection);
      const { state } = await manager.streams.info("KV_kine-k3s", { subjects_filter: "$KV.*.lease.>" });
      return Object.keys(state.subjects ?? {}).map((subject) => subject.split(".").at(-1));
    };
    await store.leaseGrant({ id: 7n, ttlSeconds: 600 });
    assert.deepEqual(await entries(), ["7"]);
    await store.txn(just(put("/hot", "1", 7n)));
    await store.leaseRevoke(7n);
    const told = store.currentRevision;
    await until("the entry is gone", async () => (await entries()).length === 0);
    assert.deepEqual(await store.leaseList(), []);
    // As if it came from a server whose renewal was under way.
    await jetstream(connection).publish("$KV.kine-k3s.lease.7", "600 4102444800000 2");
    await store.leaseGrant({ id: 8n, ttlSeconds: 600 });
    assert.deepEqual(await store.leaseList(), [8n]); // it has heard of the entry then
    const manager = await jetstreamManager(connection);
    let isTold = true;
    for (let i = 0; isTold; i++) {
      assert.ok(i < 20, "the row that told of the end is never taken");
      await store.txn(just(put("/hot", `${i}`)));
      isTold = (await manager.streams.getMessage("KV_kine", { seq: told })) !== null;
      // Asked after the row: what is there now was there when the row went.
      if (!isTold) assert.deepEqual(await entries(), ["8"]);
    }
    await assert.rejects(store.txn(just(put("/late", "1", 7n))), { reason: "leaseNotFound" });
  });

  test("lets a fast key be written beside a server that does not read any more", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=2");
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const manager = await jetstreamManager(connection);
    await manager.consumers.add("KV_kine", { name: "k3s-follow-frozen_1" });
    const results = await Promise.all(Array.from({ length: 20 }, (_, i) => store.txn(just(put("/hot", `${i}`)))));
    assert.equal(results.at(-1)?.revision, 22);
  });
});

describe("a deletion of many keys", () => {
  const KEYS = 3000;
  /** etcd's --max-txn-ops. */
  const OPS = 128;
  /** Of the slow server, between two messages. */
  const SLOW_MS = 100;

  /** A server that gets on, but slowly, until the test ends. */
  async function readSlowly(t: TestContext, server: NatsServer): Promise<void> {
    const connection = await connect({ servers: server.endpoint });
    const { consumers } = await jetstreamManager(connection);
    const name = "k3s-follow-slow_1";
    await consumers.add("KV_kine", {
      durable_name: name,
      deliver_policy: DeliverPolicy.New,
      ack_policy: AckPolicy.None,
    });
    const consumer = await jetstream(connection).consumers.get("KV_kine", name);
    const over = new AbortController();
    const readOne = async () => {
      await consumer.next({ expires: 1000 });
    };
    const reading = repeat(SLOW_MS, readOne, over.signal);
    t.after(async () => {
      over.abort(new Error("The test is over"));
      await reading;
      await connection.close();
    });
  }

  test("is not taken for dead beside a server that reads slowly", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const other = await openTestStore(t, server);
    const keys = Array.from({ length: KEYS }, (_, i) => put(`/many/${i}`, "1"));
    for (let i = 0; i < KEYS; i += OPS) await store.txn(just(...keys.slice(i, i + OPS)));
    await readSlowly(t, server);
    const recorder = new Recorder(other);
    const { results, revision } = await store.txn(just(del("/many/", "/many0")));
    assert.deepEqual(results, [{ kind: "delete", revision, deleted: KEYS, prevKvs: [] }]);
    await recorder.count(KEYS);
    assert.ok(recorder.events.every(({ kv }) => kv.modRevision === revision));
  });
});

describe("compaction", () => {
  test("leaves a deleted key of kine's that is too long for us, and with it everything before it", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    await kine.create("/live", "1"); // 1
    const long = `/${"x".repeat(2790)}`; // room for kine, but not for us
    await kine.create(long, "1"); // 2
    const row = await kine.delete(long); // 3, 4
    await kine.create("/newest", "1"); // 5
    const driver = await openDriver(t, server);
    await driver.side();
    await driver.prune({ rows: [row, row + 1], spansUpTo: 0 });
    const left = (await kine.events()).map((line) => line.slice(0, 15));
    assert.deepEqual(left, ["1 create /live", "2 create /xxxxx", "3 delete /xxxxx", "5 create /newes"]);
  });

  test("takes nothing of a key whose name is that of another one which is no UTF-8", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    await kine.create("/a\uFFFD", "1"); // 1
    await kine.create("/b", "1"); // 2
    const tombstone = await kine.delete("/b"); // 3, 4
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const { streams } = await jetstreamManager(connection);
    const stored = await streams.getMessage("KV_kine", { seq: tombstone });
    assert.ok(stored !== null);
    const subject = `$KV.kine.${encodeBase58(Buffer.from("61ff", "hex"))}`;
    const { seq } = await jetstream(connection).publish(subject, stored.data); // 5
    await kine.create("/newest", "1"); // 6
    const driver = await openDriver(t, server);
    await driver.side();
    await driver.prune({ rows: [seq], spansUpTo: 0 });
    assert.equal((await kine.list())["/a\uFFFD"], "1");
  });

  test("removes deleted keys from the bucket, but never its newest message", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    for (const key of ["/a", "/b"]) {
      await store.txn(just(put(key, "1")));
      await store.txn(just(put(key, "2")));
      await store.txn(just(del(key)));
    }
    await store.compact(store.currentRevision);
    const kine = await KinePeer.open(t, server);
    const left = async () => (await kine.events()).map((line) => line.split(" ")[2] ?? "");
    await until("the first key is gone", async () => !(await left()).includes("/a"));
    assert.deepEqual(await left(), ["compact_rev_key", "/registry/health", "/b", "/b", "/b"]);
    await store.close();
    await server.stop();
    await server.restart();
    const again = await openTestStore(t, server);
    assert.deepEqual([again.currentRevision, (await again.status()).compactRevision], [8, 8]);
    assert.equal((await again.range(everything())).count, 1);
  });
});
