import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { CaseClient } from "./support/case-client.ts";
import { SERVER_KINDS, type ServerKind } from "./support/case-server.ts";

const HOUR_MS = 3_600_000;
const TTL_S = 3;
const PROGRESS_MS = 50;

/** Our API in this process, so that its wall clock is ours to set. */
async function startHere(t: TestContext, transport: Exclude<ServerKind, "etcd">): Promise<CaseClient> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-cases-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
  const store = await openStore(await openSqliteDriver({ path: join(folder, "state.db"), log }), { log });
  t.after(() => store.close());
  const tcp = { host: "127.0.0.1", port: 0 };
  const options = { store: () => store, tcp, transport, memberName: "case", progressIntervalMs: PROGRESS_MS, log };
  const server = new EtcdApiServer(options);
  t.after(() => server.stop(AbortSignal.timeout(5_000)));
  await server.start({ signal: new AbortController().signal });
  return new CaseClient(t, `127.0.0.1:${server.tcpPort}`);
}

describe("clock jumps", { concurrency: false }, () => {
  for (const transport of SERVER_KINDS.filter((kind) => kind !== "etcd"))
    for (const [name, jumpMs] of [
      ["forward", HOUR_MS],
      ["back", -HOUR_MS],
    ] as const)
      test(`beside the hard cases, clock jump of an hour ${name} on ${transport}: leases and progress keep their time`, async (t) => {
        const client = await startHere(t, transport);
        const watch = client.watch();
        await watch.create({ key: "/registry/t/a", progress: true });
        const startedAt = performance.now();
        const { id } = await client.grant(TTL_S);
        const lasting = await client.grant(100);
        await client.put({ key: "/registry/t/a", lease: id });
        await watch.events(1);
        await watch.take("progress");
        t.mock.timers.enable({ apis: ["Date"], now: Date.now() + jumpMs });
        for (let i = 0; i < 5; i++) await watch.take("progress");
        const { ttl } = await client.timeToLive(lasting.id);
        assert.ok(ttl > 50 && ttl <= 100, `${ttl} s are left`);
        const before = await client.range({ key: "/registry/t/a" });
        if (performance.now() - startedAt < TTL_S * 1000) assert.equal(before.kvs.length, 1, "ended by the wall clock");
        await until("the lease has ended", async () => (await client.range({ key: "/registry/t/a" })).kvs.length === 0);
        assert.ok(performance.now() - startedAt >= TTL_S * 1000);
        const [deletion] = await watch.events(1);
        assert.equal(deletion?.type, "delete");
        assert.equal((await client.keepAlive(lasting.id)).ttl, 100);
        t.mock.timers.reset();
      });
});
