import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "@k3s/testkit";
import { endOf } from "./support/bulk.ts";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { scaled } from "./support/scale.ts";

const NOT_FOUND = 5;
const LEASE_LOST = { code: NOT_FOUND, details: "etcdserver: requested lease not found" };

const BASIC_TTL_S = 5;
const RESTART = scaled({ short: { ttlS: 8, waitMs: 2_500 }, full: { ttlS: 60, waitMs: 40_000 } });
const REFRESH = scaled({
  short: { ttlS: 5, everyMs: 1_000, times: 7 },
  full: { ttlS: 15, everyMs: 10_000, times: 18 },
});

/** Nothing that a busy machine comes near, but less than a lease takes that nobody ends, or whose time is counted wrongly. */
const SHORT_S = 45;
/**
 * Seconds from a grant by which its lease has ended. A restart takes nothing from the time that is left and adds nothing to it, where etcd may
 * begin it anew.
 */
const ENDED_S = scaled({
  short: { basics: SHORT_S, restart: { own: SHORT_S, etcd: SHORT_S }, refresh: SHORT_S },
  full: { basics: 7, restart: { own: 75, etcd: 120 }, refresh: 20 },
});

/** Of the wait itself, which has to be longer than any of those. */
const END_LIMIT_MS = 120_000;

/** Milliseconds since `startedAt`. */
const since = (startedAt: number) => performance.now() - startedAt;

// They wait for leases to end, most of the time: all at once.
describe("leases", { concurrency: true }, () => {
  onEachServer((start) => {
    describe("at the same time", { concurrency: true }, () => {
      test("hard case 30, lease basics: attached keys end together and in time, detached ones stay", async (t) => {
        const { client, key } = await start(t, {});
        const watch = client.watch();
        await watch.create({ key: key(), end: endOf(key()) });
        const startedAt = performance.now();
        const { id, ttl } = await client.grant(BASIC_TTL_S);
        assert.equal(ttl, BASIC_TTL_S);
        for (const name of ["a", "b", "detached"]) await client.put({ key: key(name), lease: id });
        await client.put({ key: key("detached"), lease: 0n });
        await watch.events(4);
        const { events } = await watch.take("events");
        assertEnded(since(startedAt), { fromS: BASIC_TTL_S, toS: ENDED_S.basics });
        assert.deepEqual(
          events.map(({ type, kv }) => [type, kv?.key, kv?.mod]),
          ["a", "b"].map((name) => ["delete", key(name), events[0]?.kv?.mod]),
        );
        t.diagnostic(`ended after ${Math.round(since(startedAt))} ms`);
        assert.deepEqual(await namesOf(client, key), ["detached"]);
        await assert.rejects(client.put({ key: key("late"), lease: id }), LEASE_LOST);
      });

      test("hard case 31, lease over restart: never ends early, can be used until it ends, then ends", async (t) => {
        const { client, connect, key, server } = await start(t, {});
        const startedAt = performance.now();
        const { id } = await client.grant(RESTART.ttlS);
        await client.put({ key: key("a"), lease: id });
        await until("it is time to restart", () => Promise.resolve(since(startedAt) > RESTART.waitMs));
        await server.restart("SIGKILL");
        const later = connect();
        await reuse(later, { key: key("b"), id }).catch((error: unknown) => {
          if (since(startedAt) < RESTART.ttlS * 1000) throw error; // else the restart took longer than the lease had
        });
        await until("the lease has ended", async () => (await namesOf(later, key)).length === 0, END_LIMIT_MS);
        const endedMs = since(startedAt);
        t.diagnostic(`ended after ${Math.round(endedMs)} ms of ${RESTART.ttlS} s`);
        assertEnded(endedMs, { fromS: RESTART.ttlS, toS: ENDED_S.restart[server.kind === "etcd" ? "etcd" : "own"] });
        await assert.rejects(later.put({ key: key("c"), lease: id }), LEASE_LOST);
      });

      test("hard case 32, masterlease refresh: stays while it is refreshed, then goes", async (t) => {
        const { client, key } = await start(t, {});
        const watch = client.watch();
        await watch.create({ key: key("a") });
        const refresh = async (i: number) => {
          const askedAt = performance.now();
          const { id } = await client.grant(REFRESH.ttlS);
          await client.put({ key: key("a"), value: String(i), lease: id });
          return askedAt;
        };
        let last = await refresh(0);
        for (let i = 1; i <= REFRESH.times; i++) {
          await until("it is time to refresh", () => Promise.resolve(since(last) > REFRESH.everyMs));
          const [before, { type }] = [last, await watch.events(1).then(([event]) => event ?? { type: "none" })];
          assert.equal(type, "put", "the lease that was replaced must not take the key with it");
          last = await refresh(i);
          if (since(before) < REFRESH.ttlS * 1000)
            assert.equal((await client.range({ key: key("a") })).kvs[0]?.version, i + 1);
        }
        const [put, end] = await watch.events(2);
        assert.deepEqual([put?.type, end?.type], ["put", "delete"]);
        assertEnded(since(last), { fromS: REFRESH.ttlS, toS: ENDED_S.refresh });
      });
    });
  });
});

function assertEnded(afterMs: number, { fromS, toS }: { readonly fromS: number; readonly toS: number }): void {
  assert.ok(afterMs >= fromS * 1000, `ended after ${afterMs} ms, before its time of ${fromS} s`);
  assert.ok(afterMs <= toS * 1000, `ended after ${afterMs} ms, and not within ${toS} s`);
}

async function namesOf(client: CaseClient, key: (name?: string) => string): Promise<string[]> {
  const { kvs } = await client.range({ key: key(), end: endOf(key()) });
  return kvs.map((kv) => kv.key.slice(key().length));
}

/** Rejects when the lease is not alive. */
async function reuse(client: CaseClient, { key, id }: { readonly key: string; readonly id: bigint }): Promise<void> {
  const { ttl, granted } = await client.timeToLive(id);
  assert.ok(ttl > 0 && ttl <= RESTART.ttlS, `${ttl} s are left`);
  assert.equal(granted, RESTART.ttlS);
  await client.put({ key, lease: id });
}
