import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { openStore, type OpenStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";
import { run, start, temporaryFolder } from "./cli-process.ts";

const log = createLogger({ level: "error", format: "text", write: () => undefined });
const never = () => new Promise<never>(() => undefined);

/** A node whose server is this process, and how its store does its work. */
async function node(t: TestContext) {
  const dataDir = await temporaryFolder(t);
  const socketPath = join(dataDir, "server", "kine.sock");
  await mkdir(join(dataDir, "server", "db"), { recursive: true, mode: 0o700 });
  const driver = await openSqliteDriver({ path: join(dataDir, "server", "db", "state.db"), log });
  const store = await openStore(driver, { log });
  const api = new EtcdApiServer({ store: () => store, socketPath, memberName: "one", log });
  t.after(async () => {
    await api.stop(AbortSignal.abort());
    await store.close();
  });
  await api.start({ signal: AbortSignal.timeout(60_000) });
  const put = async (key: string, value: Buffer) => {
    const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
    const operation = { kind: "put", key: Buffer.from(key), value, lease: 0n, ...flags } as const;
    await store.txn({ compare: [], success: [operation], failure: [] });
  };
  return { dataDir, endpoint: `unix://${socketPath}`, store, put };
}

/** From now on reading and compacting wait for `before`; whether a server is there is answered at once. */
function delay(store: OpenStore, before: () => Promise<void>): void {
  const [range, compact] = [store.range.bind(store), store.compact.bind(store)];
  store.range = async (query) => {
    await before();
    return await range(query);
  };
  store.compact = async (at) => {
    await before();
    return await compact(at);
  };
}

describe("the tools of a datastore whose server is busy", () => {
  /** Longer than the look whether a server is there, and than what a client of etcd waits by default. */
  const BUSY_MS = 5500;

  for (const kind of ["dataDir", "endpoint"] as const)
    test(`dump, check and compact wait for it (${kind})`, async (t) => {
      const { store, put, ...places } = await node(t);
      for (const value of ["1", "2"]) await put("/a", Buffer.from(value));
      delay(store, () => sleep(BUSY_MS));
      const place = kind === "dataDir" ? `--data-dir=${places.dataDir}` : `--endpoint=${places.endpoint}`;
      const tool = (...args: string[]) => run(t, ["datastore", ...args, place]);
      const [dump, check, compact] = [tool("dump"), tool("check"), tool("compact", "--revision=3")];
      assert.deepEqual(await dump, { code: 0, signal: null, stdout: "/a\trevision 3\t1 bytes\n", stderr: "" });
      assert.match((await check).stdout, /: nothing is wrong$/m);
      const { code, stdout, stderr } = await compact;
      assert.equal(code, 0, stderr);
      assert.match(stdout, /: compacted up to revision 3,/);
    });

  test("end at once when they are asked to", async (t) => {
    const { dataDir, store } = await node(t);
    const asked = Promise.withResolvers<void>();
    delay(store, () => {
      asked.resolve();
      return never();
    });
    const tool = start(t, ["datastore", "dump", `--data-dir=${dataDir}`]);
    await asked.promise;
    const askedAt = performance.now();
    tool.kill("SIGINT");
    assert.deepEqual(await tool.ended, { code: 1, signal: null, stdout: "", stderr: "" });
    assert.ok(performance.now() - askedAt < 10_000);
  });

  test("read large values in pages of few keys", async (t) => {
    const { dataDir, store, put } = await node(t);
    const names = Array.from({ length: 60 }, (_, i) => `/secrets/${String(i).padStart(3, "0")}`);
    for (const name of names) await put(name, Buffer.alloc(500_000));
    const limits: number[] = [];
    const range = store.range.bind(store);
    store.range = (query) => {
      limits.push(query.limit);
      return range(query);
    };
    const { stdout } = await run(t, ["datastore", "dump", `--data-dir=${dataDir}`]);
    assert.deepEqual(
      stdout.split("\n").slice(0, -1),
      names.map((name, i) => `${name}\trevision ${i + 2}\t500000 bytes`),
    );
    assert.ok(Math.max(...limits) * 500_000 <= 16_000_000, limits.join(" "));
  });
});
