import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { NewRow, RowSpan } from "@k3s/datastore";
import { until, type NatsServer } from "@k3s/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { RowMessages } from "../src/row-message.ts";
import { Subjects } from "../src/subjects.ts";
import { KinePeer } from "./support/kine-peer.ts";
import { openDriver, openTestStore, startNats } from "./support/nats-fixture.ts";
import { everything, just, put, texts } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";
import { row } from "./support/rows.ts";

const codec = new RowMessages(new Subjects("kine"), "dead");

interface Part {
  readonly rows: readonly NewRow[];
  readonly span: RowSpan;
}

/** What is in the bucket when a server dies after it sent these rows of a transaction. */
async function writePart(t: TestContext, server: NatsServer, { rows, span }: Part): Promise<void> {
  const connection = await connect({ servers: server.endpoint });
  t.after(() => connection.close());
  for (const one of rows) {
    const message = codec.ofRow(one, { span, note: undefined });
    assert.ok(message !== undefined);
    const header = headers();
    for (const [name, value] of message.headers) header.set(name, value);
    await jetstream(connection).publish(message.subject, message.data, {
      headers: header,
      expect: { lastSequence: one.id - 1 },
    });
  }
}

/** A transaction of two rows that ends after its update of `/old`. */
async function breakOff(
  t: TestContext,
  server: NatsServer,
  { id, prevRevision }: { readonly id: number; readonly prevRevision: number },
): Promise<void> {
  const update = row(id, "/old", { created: false, createRevision: 3, prevRevision });
  await writePart(t, server, { rows: [update], span: { first: id, last: id + 1 } });
}

describe("a transaction whose writer died in the middle", () => {
  test("has never happened for a server that starts, and kine sees its keys as they were", async (t) => {
    const server = await startNats(t);
    const first = await openTestStore(t, server);
    await first.txn(just(put("/old", "1"))); // 3
    await first.close();
    const update = row(4, "/old", { created: false, createRevision: 3, prevRevision: 3 });
    await writePart(t, server, { rows: [update, row(5, "/new")], span: { first: 4, last: 6 } });
    const store = await openTestStore(t, server);
    const shown = ["/old=1@3", '/registry/health={"health":"true"}@2'];
    assert.deepEqual(texts(await store.range(everything())), shown);
    const kine = await KinePeer.open(t, server);
    assert.deepEqual(await kine.list(), { "/old": "1", "/registry/health": '{"health":"true"}', compact_rev_key: "" });
    await store.txn(just(put("/new", "2")));
    const again = await openTestStore(t, server);
    assert.deepEqual(texts(await again.range(everything())), ["/new=2@8", ...shown]);
  });

  test("is told by no watch of a server that runs, and its ids are passed over", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const recorder = new Recorder(store);
    await store.txn(just(put("/a", "1"))); // 3
    await writePart(t, server, { rows: [row(4, "/x"), row(5, "/y")], span: { first: 4, last: 6 } });
    const { revision } = await store.txn(just(put("/a", "2")));
    assert.equal(revision, 8);
    await recorder.count(2);
    assert.deepEqual(recorder.lines, ["3 put /a=1", "8 put /a=2 was 1"]);
    assert.equal((await store.range(everything())).count, 2);
  });

  test("changes no key that was there, neither its revision nor what a watch is told", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const recorder = new Recorder(store);
    await store.txn(just(put("/old", "1"))); // 3
    await breakOff(t, server, { id: 4, prevRevision: 3 });
    assert.deepEqual(texts(await store.range(everything())).slice(0, 1), ["/old=1@3"]);
    const kine = await KinePeer.open(t, server);
    assert.equal((await kine.list())["/old"], "1");
    assert.equal(await kine.update("/old", "2"), 6);
    await recorder.count(2);
    assert.deepEqual(recorder.lines, ["3 put /old=1", "6 put /old=2 was 1"]);
    const again = await openTestStore(t, server);
    assert.deepEqual(texts(await again.range(everything())).slice(0, 1), ["/old=2@6"]);
    assert.deepEqual(texts(await again.range({ ...everything(), revision: 5 })).slice(0, 1), ["/old=1@3"]);
  });

  test("is put back as a change before the bucket's history drops what a key was", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=4");
    const recorder = new Recorder(store);
    await store.txn(just(put("/old", "1"))); // 3
    const newest = async () => texts(await store.range(everything()))[0];
    await breakOff(t, server, { id: 4, prevRevision: 3 });
    assert.equal(await newest(), "/old=1@3");
    await breakOff(t, server, { id: 6, prevRevision: 3 });
    assert.equal(await newest(), "/old=1@7");
    await breakOff(t, server, { id: 8, prevRevision: 7 });
    assert.equal(await newest(), "/old=1@7");
    const again = await openTestStore(t, server, "?revHistory=4");
    assert.equal(texts(await again.range(everything()))[0], "/old=1@7");
    await again.txn(just(put("/old", "2")));
    await recorder.count(3);
    assert.deepEqual(recorder.lines, ["3 put /old=1", "7 put /old=1 was 1", "10 put /old=2 was 1"]);
  });

  test("does not cost a key whose message is dropped because somebody shortened the history", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    await store.txn(just(put("/old", "1"))); // 3
    await breakOff(t, server, { id: 4, prevRevision: 3 });
    assert.equal(texts(await store.range(everything()))[0], "/old=1@3");
    await store.close();
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const { streams } = await jetstreamManager(connection);
    const { config } = await streams.info("KV_kine");
    await streams.update("KV_kine", { ...config, max_msgs_per_subject: 2 });
    const again = await openTestStore(t, server);
    assert.equal(texts(await again.range(everything()))[0], "/old=1@5");
  });

  test("is ended by a foreign write that stands in its place", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    await kine.create("/a", "1");
    await writePart(t, server, { rows: [row(2, "/x")], span: { first: 2, last: 3 } });
    await kine.create("/b", "1");
    const driver = await openDriver(t, server);
    await driver.side();
    const rows = await driver.heads(0, 10);
    assert.deepEqual(
      rows.slice(0, 3).map(({ id, name }) => [id, name]),
      [
        [1, "/a"],
        [2, "gap-2"],
        [3, "/b"],
      ],
    );
    await until("kine sees that the key is gone", async () => (await kine.list())["/x"] === undefined);
  });

  test("waits for its other rows while the writer lives", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const recorder = new Recorder(store);
    const span = { first: 3, last: 4 };
    await writePart(t, server, { rows: [row(3, "/x")], span });
    const reading = store.range(everything());
    await writePart(t, server, { rows: [row(4, "/y")], span });
    assert.deepEqual(texts(await reading).slice(1), ["/x=value 3@4", "/y=value 4@4"]);
    await recorder.count(2);
    assert.deepEqual(recorder.lines, ["4 put /x=value 3", "4 put /y=value 4"]);
  });
});
