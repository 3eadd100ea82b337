import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { DriverError, type CommitBatch } from "@k3s/datastore";
import { TurnCounter } from "@k3s/testkit";
import { connect } from "@nats-io/transport-node";
import { Bucket } from "../src/bucket.ts";
import { HistoryGuard } from "../src/history-guard.ts";
import { NatsLink } from "../src/nats-link.ts";
import { RowMessages } from "../src/row-message.ts";
import { RowWriter } from "../src/row-writer.ts";
import { Subjects } from "../src/subjects.ts";
import { openDriver, quietLog, startNats } from "./support/nats-fixture.ts";
import { nothing, ofKind, row } from "./support/rows.ts";

/** As many as are under way at a time. */
const ROWS = 256;
const batch: CommitBatch = {
  ...nothing,
  rows: Array.from({ length: ROWS }, (_, i) => row(i + 1, `/many/${i}`)),
  spans: [{ first: 1, last: ROWS }],
};

const unheard = { keepOn: () => Promise.resolve(), stored: () => undefined };

/** A writer to a new bucket, with what it makes messages with and writes them to. */
async function openWriter(t: TestContext) {
  const server = await startNats(t);
  await openDriver(t, server);
  const connection = await connect({ servers: server.endpoint });
  const link = await NatsLink.over({ connection, log: quietLog(), slowMs: 0, shown: "nats" });
  t.after(() => link.close());
  const messages = new Bucket(link, { bucket: "kine", isReplicated: false });
  const codec = new RowMessages(new Subjects("kine"), "test");
  const guard = new HistoryGuard({ link, bucket: "kine", history: 10, owner: "test" });
  return { messages, codec, writer: new RowWriter({ messages, codec, link, guard, writer: "test" }) };
}

describe("RowWriter", () => {
  test("makes and sends a few messages in one turn of the event loop, and many before it waits for answers", async (t) => {
    const { messages, codec, writer } = await openWriter(t);
    const [made, sent, all] = [new TurnCounter(), new TurnCounter(), Promise.withResolvers<void>()];
    const [publish, ofRow] = [messages.publish.bind(messages), codec.ofRow.bind(codec)];
    codec.ofRow = (newRow, extras) => {
      made.add();
      return ofRow(newRow, extras);
    };
    let count = 0;
    messages.publish = async (message, options) => {
      sent.add();
      if (++count === ROWS) all.resolve();
      await all.promise;
      return publish(message, options);
    };
    await writer.write(batch, undefined, unheard);
    assert.equal(await messages.lastSequence(), ROWS);
    assert.deepEqual([made.most, sent.most], [64, 64]);
  });

  test("tells of the rows that are stored, and no more of those behind a failure", async (t) => {
    const { messages, writer } = await openWriter(t);
    const publish = messages.publish.bind(messages);
    messages.publish = (message, options) =>
      options.expect?.lastSequence === 600
        ? Promise.reject(new DriverError("failed", "Cannot write message: NATS is away"))
        : publish(message, options);
    const rows = Array.from({ length: 700 }, (_, i) => row(i + 1, `/many/${i}`));
    const stored: number[] = [];
    const progress = { ...unheard, stored: (last: number) => stored.push(last) };
    await assert.rejects(writer.write({ ...nothing, rows }, undefined, progress), ofKind("failed"));
    assert.deepEqual(stored, [256, 512]);
  });

  test("fails with the first refusal, also where that comes before the last message is sent", async (t) => {
    const { messages, writer } = await openWriter(t);
    let count = 0;
    messages.publish = () => Promise.reject(new DriverError("conflict", `Cannot write message ${++count}`));
    const written = writer.write(batch, undefined, unheard);
    await assert.rejects(written, { kind: "conflict", message: "Cannot write message 1" });
    assert.equal(count, ROWS);
  });

  test("sends nothing when one of the messages is too large", async (t) => {
    const { messages, writer } = await openWriter(t);
    const large = row(200, "/large", { value: Buffer.alloc(900_000) });
    const rows = batch.rows.map((each) => (each.id === large.id ? large : each));
    const written = writer.write({ ...batch, rows }, undefined, unheard);
    await assert.rejects(written, ofKind("refused"));
    assert.equal(await messages.lastSequence(), 0);
  });
});
