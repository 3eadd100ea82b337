import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type Driver, type OpenStore, type Txn } from "@k3s/datastore";
import { FaultProxy, isUnavailable, lostCommitConformance, until, type NatsServer } from "@k3s/testkit";
import { openNatsDriver } from "../src/index.ts";
import { openDriver, quietLog, startNats } from "./support/nats-fixture.ts";
import { everything, put, when } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";

/** What our server sends in front of a message of a row. */
const ROW = "HPUB $KV.kine.";

async function openBehindProxy(t: TestContext, server: NatsServer): Promise<{ store: OpenStore; proxy: FaultProxy }> {
  const proxy = await FaultProxy.start({ target: { port: server.port } });
  t.after(() => proxy.stop());
  const endpoint = `nats://127.0.0.1:${proxy.port}`;
  const driver = await openNatsDriver({ endpoint, log: quietLog(), signal: t.signal });
  const store = await openStore(driver, { log: quietLog(), healthKey: true });
  t.after(() => store.close());
  return { store, proxy };
}

lostCommitConformance("NATS JetStream", async (t) => {
  const server = await startNats(t);
  const opened = await openBehindProxy(t, server);
  return { ...opened, beside: await openDriver(t, server), mark: () => ROW };
});

/** Three transactions of two keys each, which create them. */
const NAMES = ["one", "two", "three"] as const;
const creationOf = (name: string): Txn => when(`/${name}/a`, 0, put(`/${name}/a`, name), put(`/${name}/b`, name));
const puts = (revision: number, name: string) => [
  `${revision} put /${name}/a=${name}`,
  `${revision} put /${name}/b=${name}`,
];

interface Batch {
  readonly store: OpenStore;
  readonly proxy: FaultProxy;
  readonly recorder: Recorder;
  /** Sees the database without the proxy. */
  readonly beside: Driver;
}

async function openBatch(t: TestContext): Promise<Batch> {
  const server = await startNats(t);
  const opened = await openBehindProxy(t, server);
  return { ...opened, recorder: new Recorder(opened.store), beside: await openDriver(t, server) };
}

/** Sends all transactions in one commit, and cuts the connection once `rows` more are stored. */
async function cutAt({ store, proxy, beside }: Batch, { rows, stalled }: { rows: number; stalled: Promise<void> }) {
  const { currentRevision: before } = store;
  const answers = Promise.allSettled(NAMES.map((name) => store.txn(creationOf(name))));
  await stalled;
  const isStored = async () => (await beside.shared?.position())?.lastRow === before + rows;
  await until("the messages that got through are stored", isStored);
  proxy.cut();
  proxy.resume();
  for (const answer of await answers)
    assert.ok(answer.status === "rejected" && isUnavailable(answer.reason), answer.status);
}

/** Whether each of the transactions succeeds when it is tried again. */
async function tryAgain(store: OpenStore): Promise<readonly boolean[]> {
  const succeeded: boolean[] = [];
  for (const name of NAMES) {
    const done = await until("writes are served again", () =>
      store.txn(creationOf(name)).catch((error: unknown) => {
        if (!isUnavailable(error)) assert.fail(String(error));
        return undefined;
      }),
    );
    succeeded.push(done.succeeded);
  }
  return succeeded;
}

describe("a connection to NATS JetStream that is lost in the middle of a batch", () => {
  test("of messages: transactions that got through whole are there, of the others nothing, and each is told once", async (t) => {
    const batch = await openBatch(t);
    const { store, proxy, recorder } = batch;
    // The first transaction and half of the second get through.
    await cutAt(batch, { rows: 3, stalled: proxy.stallAt("toTarget", ROW, 4) });
    assert.deepEqual(await tryAgain(store), [false, true, true]);
    await recorder.count(6);
    const { revision } = await store.txn(when("/next", 0, put("/next", "1")));
    await recorder.count(7);
    // Row 5 is the half one; what ended it stands behind it.
    const [, , , , third = 0] = recorder.events.map(({ kv }) => kv.modRevision);
    assert.deepEqual(recorder.lines, [
      ...puts(4, "one"),
      ...puts(third - 2, "two"),
      ...puts(third, "three"),
      `${revision} put /next=1`,
    ]);
    assert.deepEqual((await store.range(everything())).count, 8);
  });

  test("of acknowledgements: all is unavailable, there, told once, and a conflict later", async (t) => {
    const batch = await openBatch(t);
    const { store, proxy, recorder } = batch;
    await cutAt(batch, { rows: 6, stalled: proxy.stallAt("toClient", '"seq":', 2) });
    assert.deepEqual(await tryAgain(store), [false, false, false]);
    const { revision } = await store.txn(when("/next", 0, put("/next", "1")));
    assert.equal(revision, 9);
    await recorder.count(7);
    assert.deepEqual(recorder.lines, [...puts(4, "one"), ...puts(6, "two"), ...puts(8, "three"), "9 put /next=1"]);
  });
});
