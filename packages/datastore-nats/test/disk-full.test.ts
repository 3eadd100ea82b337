import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openStore, StoreError, type OpenStore } from "@k3s/datastore";
import { NatsServer, SmallDisk, until } from "@k3s/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { openNatsDriver } from "../src/index.ts";
import { quietLog } from "./support/nats-fixture.ts";
import { everything, just, put, rangeOf } from "./support/ops.ts";

const isNoSpace = (error: unknown) => error instanceof StoreError && error.reason === "noSpace";
const isUnavailable = (error: unknown) => error instanceof StoreError && error.reason === "unavailable";

async function makeFolder(undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-nats-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function startIn(folder: string, undo: AsyncDisposableStack, config: string): Promise<NatsServer> {
  const server = await NatsServer.start(folder, { config });
  undo.defer(() => server.stop());
  return server;
}

async function storeOn(server: NatsServer, undo: AsyncDisposableStack): Promise<OpenStore> {
  const log = quietLog();
  const endpoint = `nats://${server.endpoint}`;
  const driver = await openNatsDriver({ endpoint, log, signal: AbortSignal.timeout(30_000) });
  const store = await openStore(driver, { log });
  undo.defer(() => store.close());
  return store;
}

/** Writes keys until one is refused. */
async function fill(store: OpenStore): Promise<{ readonly promised: readonly string[]; readonly refusal: unknown }> {
  const promised: string[] = [];
  for (let i = 0; i < 1000; i++) {
    try {
      await store.txn(just(put(`/fill/${i}`, "v".repeat(20_000))));
      promised.push(`/fill/${i}`);
    } catch (refusal) {
      return { promised, refusal };
    }
  }
  throw new Error("The disk did not get full");
}

async function assertKept(store: OpenStore, promised: readonly string[]): Promise<void> {
  const { kvs } = await store.range(everything({ ...rangeOf("/fill/", "/fill0") }));
  const kept = new Set(kvs.map(({ key, value }) => (value.length === 20_000 ? key.toString() : "")));
  assert.deepEqual(
    promised.filter((key) => !kept.has(key)),
    [],
  );
}

async function readFirst(store: OpenStore, serializable: boolean): Promise<string | undefined> {
  const { kvs } = await store.range(everything({ ...rangeOf("/first"), serializable }));
  return kvs[0]?.value.toString();
}

/** Takes `bytes` of the store in a bucket of its own; answers what gives them back. */
async function occupy(server: NatsServer, undo: AsyncDisposableStack, bytes: number): Promise<() => Promise<unknown>> {
  const connection = await connect({ servers: server.endpoint });
  undo.defer(() => connection.close());
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "other", subjects: ["other"] });
  for (let left = bytes; left > 0; left -= 100_000) await jetstream(connection).publish("other", Buffer.alloc(100_000));
  return () => manager.streams.delete("other");
}

describe("the store of NATS full", () => {
  test("to its limit is told as noSpace; reads go on, and writes too once there is room, without a restart", async () => {
    await using undo = new AsyncDisposableStack();
    const limits =
      "accounts { A { jetstream { max_store: 2MB }, users: [{ user: a, password: b }] } }\nno_auth_user: a";
    const server = await startIn(await makeFolder(undo), undo, limits);
    const store = await storeOn(server, undo);
    await store.txn(just(put("/first", "1")));
    const giveBack = await occupy(server, undo, 1_000_000);
    const { promised, refusal } = await fill(store);
    assert.ok(isNoSpace(refusal), String(refusal));
    assert.deepEqual([await readFirst(store, true), await readFirst(store, false), store.isFull], ["1", "1", true]);
    await giveBack();
    await until("writes are served again", () => store.txn(just(put("/second", "2"))));
    assert.equal(store.isFull, false);
    await assertKept(store, promised);
  });

  test("to the end of its disk hangs nats-server 2.9 until it is restarted: serializable reads go on; then writes too", async () => {
    await using undo = new AsyncDisposableStack();
    const folder = await makeFolder(undo);
    const disk = undo.use(await SmallDisk.mount(join(folder, "jetstream"), "24m"));
    // By itself NATS stays below three quarters of what is free when it starts: others fill the rest.
    const config = `jetstream { store_dir: "${disk.folder}", max_file_store: 1GB }`;
    const server = await startIn(folder, undo, config);
    const store = await storeOn(server, undo);
    await store.txn(just(put("/first", "1")));
    await disk.fill();
    const { promised, refusal } = await fill(store);
    assert.ok(isUnavailable(refusal) || isNoSpace(refusal), String(refusal));
    assert.equal(await readFirst(store, true), "1");
    await disk.drain();
    await server.kill();
    await server.restart();
    await until("writes are served again", () => store.txn(just(put("/second", "2"))));
    await assertKept(store, promised);
    assert.equal(await readFirst(store, false), "1");
  });
});
