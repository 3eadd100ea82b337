import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { NatsServer } from "@k3s/testkit";
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Bucket } from "../src/bucket.ts";
import { NatsLink } from "../src/nats-link.ts";
import { KinePeer } from "./support/kine-peer.ts";
import { quietLog, startNats } from "./support/nats-fixture.ts";
import { ofKind } from "./support/rows.ts";

/** More than one page of a replay. */
const MESSAGES = 1200;

async function managerOf(t: TestContext, server: NatsServer): Promise<JetStreamManager> {
  const connection = await connect({ servers: server.endpoint });
  t.after(() => connection.close());
  return jetstreamManager(connection);
}

async function openBucket(t: TestContext, server: NatsServer, bucket: string): Promise<Bucket> {
  const connection = await connect({ servers: server.endpoint });
  const link = await NatsLink.over({ connection, log: quietLog(), slowMs: 0, shown: "nats" });
  t.after(() => link.close());
  return new Bucket(link, { bucket, isReplicated: false });
}

/** Kine's bucket with a message in each of its first sequences. */
async function openFilled(t: TestContext): Promise<Bucket> {
  const server = await startNats(t);
  await KinePeer.open(t, server);
  const bucket = await openBucket(t, server, "kine");
  const write = (i: number) =>
    bucket.publish({ subject: `$KV.kine.key${i}`, headers: [], data: Buffer.from(String(i)) }, {});
  await Promise.all(Array.from({ length: MESSAGES }, (_, i) => write(i + 1)));
  return bucket;
}

describe("replay()", () => {
  const all = { from: 1, to: MESSAGES, headersOnly: true };

  test("leaves nothing out when other messages are removed while it reads", async (t) => {
    const bucket = await openFilled(t);
    const subjects: string[] = [];
    for await (const { seq, subject } of bucket.replay(all)) {
      subjects.push(subject);
      if (seq === 100) await bucket.purge(subjects[50] ?? "", MESSAGES);
    }
    assert.equal(new Set(subjects).size, MESSAGES);
  });

  test("finds what is left when the last message is among those removed", async (t) => {
    const bucket = await openFilled(t);
    const [last] = await bucket.get([MESSAGES]);
    await bucket.publish({ subject: "$KV.kine.newest", headers: [], data: Buffer.alloc(0) }, {});
    const seen: number[] = [];
    for await (const { seq } of bucket.replay(all)) {
      seen.push(seq);
      if (seq === 100) await bucket.purge(last?.subject ?? "", MESSAGES + 1);
    }
    assert.deepEqual([seen.length, seen.at(-1)], [MESSAGES - 1, MESSAGES - 1]);
  });

  test("goes over gaps without messages", async (t) => {
    const bucket = await openFilled(t);
    for (const i of [3, 4, 500, 501, 900]) await bucket.purge(`$KV.kine.key${i}`, MESSAGES);
    const seen: number[] = [];
    for await (const { seq } of bucket.replay(all)) seen.push(seq);
    assert.equal(seen.length, MESSAGES - 5);
  });
});

describe("remove()", () => {
  test("removes the newest message of its subject up to a sequence, any number of times", async (t) => {
    const server = await startNats(t);
    const bucket = await openBucket(t, server, "other");
    const write = (text: string) =>
      bucket.publish({ subject: "$KV.other.a", headers: [], data: Buffer.from(text) }, {});
    const manager = await managerOf(t, server);
    await manager.streams.add({ name: "KV_other", subjects: ["$KV.other.>"], allow_direct: true });
    const seq = await write("1");
    await bucket.remove("$KV.other.a", seq - 1);
    assert.equal((await bucket.newestOf("$KV.other.a"))?.seq, seq);
    await Promise.all([bucket.remove("$KV.other.a", seq), bucket.remove("$KV.other.a", seq)]);
    await bucket.remove("$KV.other.a", seq);
    assert.equal(await bucket.newestOf("$KV.other.a"), undefined);
  });
});

describe("purge()", () => {
  test("refuses to remove the messages of all subjects", async (t) => {
    const bucket = await openFilled(t);
    await assert.rejects(bucket.purge("", MESSAGES), ofKind("refused"));
    assert.equal((await bucket.get([1]))[0]?.seq, 1);
  });
});
