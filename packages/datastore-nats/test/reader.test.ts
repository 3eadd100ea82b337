import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { DatabaseReader } from "@k3s/datastore";
import { collectLog, type NatsServer } from "@k3s/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { openNatsReader } from "../src/index.ts";
import { RowMessages } from "../src/row-message.ts";
import { Subjects } from "../src/subjects.ts";
import { KinePeer } from "./support/kine-peer.ts";
import { openTestStore, quietLog, startNats } from "./support/nats-fixture.ts";
import { just, put } from "./support/ops.ts";
import { row } from "./support/rows.ts";

async function openReader(t: TestContext, server: NatsServer): Promise<DatabaseReader> {
  const reader = await openNatsReader({ endpoint: `nats://${server.endpoint}`, log: quietLog(), signal: t.signal });
  t.after(() => reader.close());
  return reader;
}

async function manage(t: TestContext, server: NatsServer) {
  const connection = await connect({ servers: server.endpoint });
  t.after(() => connection.close());
  return { connection, manager: await jetstreamManager(connection) };
}

/** Streams with their configuration, and what is in them. */
async function dump(t: TestContext, server: NatsServer): Promise<unknown> {
  const { manager } = await manage(t, server);
  const found = [];
  for await (const { config, state } of manager.streams.list()) {
    const { messages, bytes, first_seq, last_seq } = state;
    found.push({ config, messages, bytes, first_seq, last_seq });
  }
  return found;
}

/** Names and values of the rows, after everything was read. */
async function readAll(reader: DatabaseReader): Promise<readonly string[]> {
  const rows = await reader.heads(0, 100);
  const values = await reader.values(rows.map(({ id }) => id));
  assert.ok((await reader.size()).totalBytes > 0);
  return rows.map(({ name }, i) => `${name}=${String(values[i])}`);
}

describe("openNatsReader()", () => {
  test("makes no bucket", async (t) => {
    const server = await startNats(t);
    const absent = { code: "ERR_NATS_ABSENT", message: /it has no bucket "kine"$/ };
    await assert.rejects(openReader(t, server), absent);
    assert.deepEqual(await dump(t, server), []);
  });

  test("warns of a part of the endpoint that is ignored, and names the parameters there are", async (t) => {
    const server = await startNats(t);
    await KinePeer.open(t, server);
    const { log, lines } = collectLog();
    const endpoint = `nats://${server.endpoint}?bukcet=k3s`;
    const reader = await openNatsReader({ endpoint, log, signal: t.signal });
    t.after(() => reader.close());
    const [warning = ""] = lines;
    const { part, hint = "" } = JSON.parse(warning) as { part?: string; hint?: string };
    assert.match(warning, /a part of the datastore endpoint is ignored/);
    assert.equal(part, 'parameter "bukcet"');
    assert.match(hint, /bucket, replicas, revHistory, slowMethod, credsFile, contextFile/);
  });

  test("tells of leases and transactions of rows that come while it reads", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    await store.txn(just(put("/a", "1")));
    const reader = await openReader(t, server);
    await readAll(reader);
    const before = await reader.side();
    const { id: lease } = await store.leaseGrant({ id: 0n, ttlSeconds: 500 });
    const { revision } = await store.txn(just(put("/b", "1"), put("/c", "1", lease)));
    await readAll(reader);
    const after = await reader.side();
    assert.deepEqual([before.rowLeases.size, before.spans], [0, []]);
    assert.deepEqual([after.rowLeases.get(revision), after.spans.at(-1)?.last], [lease, revision]);
  });

  test("tells of one moment though the history drops rows meanwhile", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=2");
    const write = async () => {
      for (const value of ["1", "2", "3", "4"]) await store.txn(just(put("/a", value)));
    };
    await write();
    const reader = await openReader(t, server);
    await reader.findings();
    await write();
    const told = await reader.heads(0, 100);
    const rows = told.filter(({ name }) => name === "/a");
    const marker = told.find(({ name }) => name === "compact_rev_key");
    // What the oldest row follows was dropped, so it has to be below the compacted revision.
    assert.ok((marker?.prevRevision ?? 0) >= (rows[0]?.prevRevision ?? Infinity));
    assert.deepEqual(await reader.heads(rows.at(-1)?.id ?? 0, 100), []);
    const later = await reader.heads(0, 100);
    assert.equal((later.at(-1)?.id ?? 0) - (told.at(-1)?.id ?? 0), 4);
  });

  test("leaves a bucket that only an old kine has used as it is", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    const { manager } = await manage(t, server);
    const { config } = await manager.streams.info("KV_kine");
    await manager.streams.update("KV_kine", { ...config, allow_direct: false });
    await kine.create("/a", "1");
    const before = await dump(t, server);
    const reader = await openReader(t, server);
    assert.ok((await readAll(reader)).includes("/a=1"));
    assert.deepEqual(await reader.side(), { leases: [], rowLeases: new Map(), spans: [] });
    assert.deepEqual(await reader.findings(), []);
    assert.deepEqual(await dump(t, server), before);
  });

  test("finds a transaction whose writer died, and takes nothing back", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    await store.txn(just(put("/old", "1"))); // 3
    await store.close();
    const { connection } = await manage(t, server);
    const codec = new RowMessages(new Subjects("kine"), "dead");
    const update = row(4, "/old", { created: false, createRevision: 3, prevRevision: 3 });
    const message = codec.ofRow(update, { span: { first: 4, last: 5 }, note: undefined });
    assert.ok(message !== undefined);
    const header = headers();
    for (const [name, value] of message.headers) header.set(name, value);
    await jetstream(connection).publish(message.subject, message.data, { headers: header });
    const before = await dump(t, server);
    const reader = await openReader(t, server);
    assert.match((await reader.findings()).join("\n"), /^1 keys have a write of a server that ended in the middle/);
    assert.equal((await readAll(reader))[2], "/old=1");
    assert.deepEqual(await dump(t, server), before);
  });

  test("knows what the history has dropped, and the leases of a server that runs", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server, "?revHistory=2");
    const { id } = await store.leaseGrant({ id: 0n, ttlSeconds: 500 });
    for (const value of ["1", "2", "3", "4"]) await store.txn(just(put("/a", value, id)));
    const before = await dump(t, server);
    const reader = await openReader(t, server);
    const rows = await reader.heads(0, 100);
    const oldest = rows.find(({ name }) => name === "/a");
    assert.equal(rows.find(({ name }) => name === "compact_rev_key")?.prevRevision, oldest?.id);
    const side = await reader.side();
    assert.deepEqual(
      side.leases.map((lease) => lease.id),
      [id],
    );
    assert.equal(side.rowLeases.get(rows.at(-1)?.id ?? 0), id);
    assert.deepEqual(await dump(t, server), before);
  });
});
