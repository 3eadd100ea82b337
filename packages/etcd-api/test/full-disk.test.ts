import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { createLogger } from "@k3s/log";
import {
  deleteRequest,
  int64Message,
  putRequest,
  RawClient,
  rangeRequest,
  readAnswer,
  SmallDisk,
  until,
} from "@k3s/testkit";
import { EtcdApiServer } from "../src/etcd-api-server.ts";
import { decodeInto } from "../src/proto/proto-reader.ts";
import type { TransportName } from "../src/transport.ts";
import { onEachTransport } from "./support/api.ts";

/** What a full disk makes the store say is what the tests look at. */
const silent = createLogger({ level: "error", format: "text", write: () => undefined });

async function smallDisk(undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-api-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  return undo.use(await SmallDisk.mount(folder, "28m")).folder;
}

interface Place {
  readonly folder: string;
  readonly transport: TransportName;
}

async function startOn({ folder, transport }: Place, undo: AsyncDisposableStack): Promise<string> {
  const driver = await openSqliteDriver({ path: join(folder, "state.db"), log: silent });
  const store = await openStore(driver, { log: silent, healthKey: false });
  undo.defer(() => store.close());
  const socketPath = join(folder, "kine.sock");
  const server = new EtcdApiServer({ store: () => store, socketPath, memberName: "node1", log: silent, transport });
  await server.start({ signal: new AbortController().signal });
  undo.defer(() => server.stop(AbortSignal.timeout(5000)));
  return socketPath;
}

const value = "v".repeat(200_000);

onEachTransport((_, transport) => {
  test("a full disk is etcd's: no put, an alarm; reads, deletes, compaction and defragmentation make room for puts", async (t) => {
    await using undo = new AsyncDisposableStack();
    const folder = await smallDisk(undo);
    const client = new RawClient(t, `unix:${await startOn({ folder, transport }, undo)}`);
    const call = async (path: string, request: Buffer) => client.call(`/etcdserverpb.${path}`, request);
    const put = async (key: string) => readAnswer.put(await call("KV/Put", putRequest({ key, value })));
    const alarms = async (type: number) => readAlarms(await call("Maintenance/Alarm", int64Message({ 3: type })));
    const problems = async () => readProblems(await call("Maintenance/Status", Buffer.alloc(0)));

    await until("space is reserved", async () => (await stat(join(folder, "state.db.reserve"))).size > 8_000_000);
    assert.deepEqual([await alarms(0), await problems()], [[], []]);
    const keys: string[] = [];
    const fill = async () => {
      for (; keys.length < 150; keys.push(`/${keys.length}`)) await put(`/${keys.length}`);
    };
    // Writing the log back can make room once more.
    await fill().catch(() => undefined);
    const refused = { code: 8, details: "etcdserver: mvcc: database space exceeded" };
    await assert.rejects(fill(), refused);
    await assert.rejects(put("/more"), refused);
    const { memberId } = readAnswer.header(await call("Maintenance/Alarm", Buffer.alloc(0))).header ?? {};
    assert.deepEqual(
      [await alarms(0), await alarms(1), await alarms(2)],
      [[{ memberId, type: 1 }], [{ memberId, type: 1 }], []],
    );
    assert.deepEqual(await problems(), [`memberID:${memberId} alarm:NOSPACE `]);
    const socketPath = join(folder, "kine.sock");
    const ill = { status: 503, body: '{"health":"false","reason":"ALARM NOSPACE"}' };
    assert.deepEqual(await get(socketPath, "/health"), ill);
    const well = { status: 200, body: '{"health":"true","reason":""}' };
    assert.deepEqual(await get(socketPath, "/health?exclude=CORRUPT&exclude=NOSPACE"), well);

    assert.equal(readAnswer.range(await call("KV/Range", rangeRequest({ key: "/0" }))).kvs[0]?.value, value);
    // A delete needs room too, for the value before it, until a compaction has removed both.
    for (const [index, key] of keys.entries()) {
      const { deleted, header } = readAnswer.delete(await call("KV/DeleteRange", deleteRequest({ key })));
      assert.equal(deleted, 1);
      if (index % 4 !== 3) continue;
      await call("KV/Compact", int64Message({ 1: header?.revision ?? 0 }));
      await call("Maintenance/Defragment", Buffer.alloc(0));
    }
    await until("puts are taken again", async () => {
      await call("Maintenance/Defragment", Buffer.alloc(0));
      await put("/again");
      return true;
    });
    assert.deepEqual([await alarms(0), await problems()], [[], []]);
    assert.deepEqual(await get(socketPath, "/health"), well);
  });
});

async function get(socketPath: string, path: string) {
  const sent = request({ socketPath, path, agent: false }).end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return { status: answer.statusCode, body: await text(answer) };
}

function readAlarms(bytes: Buffer) {
  const { alarms } = decodeInto({ alarms: [] as { memberId: bigint; type: number }[] }, bytes, {
    2: (m, r) =>
      m.alarms.push(
        decodeInto({ memberId: 0n, type: 0 }, r.bytes(), {
          1: (to, one) => (to.memberId = BigInt.asUintN(64, one.bigint64())),
          2: (to, one) => (to.type = one.int64()),
        }),
      ),
  });
  return alarms;
}

function readProblems(bytes: Buffer): string[] {
  return decodeInto({ errors: [] as string[] }, bytes, { 8: (m, r) => m.errors.push(r.string()) }).errors;
}
