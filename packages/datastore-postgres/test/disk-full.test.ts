import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openStore, StoreError, type OpenStore } from "@k3s/datastore";
import {
  collectLog,
  PostgresServer,
  SmallDisk,
  until,
  isUnavailable,
  query,
  rangeOf,
  remove,
  write,
} from "@k3s/testkit";
import { openPostgresDriver } from "../src/index.ts";

const isNoSpace = (error: unknown) => error instanceof StoreError && error.reason === "noSpace";

async function makeFolder(undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-postgres-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function storeOn(server: PostgresServer, undo: AsyncDisposableStack) {
  const { log, lines } = collectLog();
  const dsn = `postgres://postgres@127.0.0.1:${server.port}/kine`;
  const driver = await openPostgresDriver({ dsn, env: {}, log, signal: AbortSignal.timeout(30_000) });
  const store = await openStore(driver, { log });
  undo.defer(() => store.close());
  return { store, lines };
}

/** Creates keys, of bytes that cannot be made smaller, until one is refused; answers what was promised, and why the last was refused. */
async function fill(store: OpenStore): Promise<{ readonly promised: readonly string[]; readonly refusal: unknown }> {
  const promised: string[] = [];
  for (let i = 0; i < 2000; i++) {
    try {
      await store.txn(write(`/fill/${i}`, 0, randomBytes(100_000)));
      promised.push(`/fill/${i}`);
    } catch (refusal) {
      return { promised, refusal };
    }
  }
  throw new Error("The disk did not get full");
}

/** All keys that were promised; one more may be there: the fate of the refused one can be open. */
async function assertKept(store: OpenStore, promised: readonly string[]): Promise<void> {
  const { kvs } = await store.range(query(rangeOf("/fill/", "/fill0")));
  const kept = new Set(kvs.map(({ key, value }) => (value.length === 100_000 ? key.toString() : "")));
  assert.deepEqual(
    promised.filter((key) => !kept.has(key)),
    [],
  );
}

function afterPanic(output: string): string {
  return /PANIC: .*No space left on device[^]*/.exec(output)?.[0] ?? "";
}

async function readFirst(store: OpenStore, serializable: boolean): Promise<string | undefined> {
  const { kvs } = await store.range({ ...query(rangeOf("/first")), serializable });
  return kvs[0]?.value.toString();
}

describe("the disk of PostgreSQL full", () => {
  test("is told as noSpace; reads go on, and writes too once there is room, without a restart", async () => {
    await using undo = new AsyncDisposableStack();
    const disk = undo.use(await SmallDisk.mount(join(await makeFolder(undo), "disk"), "120m"));
    const server = undo.use(await PostgresServer.start({ folder: disk.folder }));
    const { store, lines } = await storeOn(server, undo);
    await store.txn(write("/first", 0, "1"));
    await disk.fill();
    const { promised, refusal } = await fill(store);
    assert.ok(isNoSpace(refusal), String(refusal));
    assert.deepEqual([await readFirst(store, true), await readFirst(store, false), store.isFull], ["1", "1", true]);
    assert.match(lines.join(""), /its disk is full/);
    await disk.drain();
    await until("writes are served again", async () => (await store.txn(write("/second", 0, "2"))).succeeded);
    assert.equal(store.isFull, false);
    const mod = (await store.range(query(rangeOf("/first")))).kvs[0]?.modRevision ?? 0;
    assert.equal((await store.txn(remove("/first", mod))).succeeded, true);
    await assertKept(store, promised);
  });

  test("for its write-ahead log ends PostgreSQL: serializable reads go on; writes too once it runs again", async () => {
    await using undo = new AsyncDisposableStack();
    const folder = await makeFolder(undo);
    const disk = undo.use(await SmallDisk.mount(join(folder, "disk"), "40m"));
    const server = undo.use(await PostgresServer.start({ folder }));
    await server.stop();
    const [log, place] = [join(server.dataDir, "pg_wal"), join(disk.folder, "pg_wal")];
    await cp(log, place, { recursive: true });
    await rm(log, { recursive: true });
    await symlink(place, log);
    await server.restart();
    const { store } = await storeOn(server, undo);
    await store.txn(write("/first", 0, "1"));
    await disk.fill();
    const { promised, refusal } = await fill(store);
    assert.ok(isNoSpace(refusal) || isUnavailable(refusal), String(refusal));
    await until("PostgreSQL gives up", () => Promise.resolve(/\bis shut down$/m.test(afterPanic(server.output))));
    await until("no session is left", () =>
      assert.rejects(store.txn(write("/lost", 0, "")), isUnavailable).then(() => true),
    );
    assert.equal(await readFirst(store, true), "1");
    await disk.drain();
    await until("PostgreSQL starts again", () => server.restart().then(() => true));
    await until("writes are served again", async () => (await store.txn(write("/second", 0, "2"))).succeeded);
    await assertKept(store, promised);
  });
});
