import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type Store } from "@k3s/datastore";
import { checkEndpoint, openDatastore } from "@k3s/datastore-endpoint";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { CaseClient } from "./support/case-client.ts";
import { DATABASE_SERVERS, databasesForFile } from "./support/databases.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { scaled } from "./support/scale.ts";

const NOT_FOUND = 5;
const LEASE_LOST = { code: NOT_FOUND, details: "etcdserver: requested lease not found" };
const HOUR_MS = 3_600_000;
const LONG_TTL_S = 1000;
/** `endedS`: at full size, on a machine that does nothing else, the restart adds nothing to the lease. */
const RESTART = scaled({
  short: { ttlS: 8, waitMs: 2_500, endedS: 45 },
  full: { ttlS: 60, waitMs: 40_000, endedS: 75 },
});

const database = databasesForFile(DATABASE_SERVERS);

/** Seconds since `startedAt`. */
const since = (startedAt: number) => (performance.now() - startedAt) / 1000;

/** A server of ours in this process, so that its wall clock is ours to set. */
async function openHere(t: TestContext, text: string): Promise<Store> {
  const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
  const endpoint = await checkEndpoint(text, {});
  assert.ok(endpoint.kind !== "etcd");
  const signal = AbortSignal.timeout(60_000);
  const store = await openStore(await openDatastore({ endpoint, folder: "/nonexistent", tls: {}, log, signal }), {
    log,
  });
  t.after(() => store.close());
  return store;
}

/** How much of a lease was used up between its grant and an answer: at least, and at most. */
interface Used {
  readonly least: number;
  readonly most: number;
}

/** Granted for {@link LONG_TTL_S}. */
function assertLeft(remaining: number, { least, most }: Used, who: string): void {
  assert.ok(remaining <= Math.ceil(LONG_TTL_S - least), `${who}: ${remaining} s left, ${least} s are over`);
  assert.ok(remaining >= Math.floor(LONG_TTL_S - most), `${who}: ${remaining} s left, ${most} s are over`);
}

// They wait for leases to end, most of the time: all at once.
describe("leases on databases", { concurrency: true }, () => {
  for (const name of DATABASE_SERVERS) {
    test(`hard case 31, lease over restart: ${name}: goes on where it was, never ends early, then ends`, async (t) => {
      const served = await ServedDatastore.start(t, database(name).endpoint("leases"));
      const client = new CaseClient(t, served.target);
      const askedAt = performance.now();
      const { id } = await client.grant(RESTART.ttlS);
      const long = await client.grant(LONG_TTL_S);
      const grantedAt = performance.now();
      await client.put({ key: "/a", lease: id });
      await until("it is time to restart", () => Promise.resolve(since(grantedAt) * 1000 > RESTART.waitMs));
      await served.kill();
      await served.restart();

      const later = new CaseClient(t, served.target);
      const least = since(grantedAt);
      const { ttl, granted } = await later.timeToLive(long.id);
      assert.equal(granted, LONG_TTL_S);
      assertLeft(ttl, { least, most: since(askedAt) }, "after a restart");
      await later.put({ key: "/b", lease: id }).catch((error: unknown) => {
        if (since(askedAt) < RESTART.ttlS) throw error; // else the restart took longer than the lease had
      });
      await until("the lease has ended", async () => (await later.range({ key: "/", end: "0" })).kvs.length === 0);
      const endedS = since(askedAt);
      t.diagnostic(`ended after ${endedS.toFixed(1)} of ${RESTART.ttlS} s`);
      assert.ok(endedS >= RESTART.ttlS, `ended after ${endedS} s, before its time`);
      assert.ok(endedS <= RESTART.endedS, `ended after ${endedS} s, and not within ${RESTART.endedS} s`);
      await assert.rejects(later.put({ key: "/c", lease: id }), LEASE_LOST);
    });
  }
});

// One after the other: the clock is that of the process.
describe("leases of servers whose clocks differ", { concurrency: false }, () => {
  for (const name of DATABASE_SERVERS)
    for (const [word, jumpMs] of [
      ["ahead", HOUR_MS],
      ["behind", -HOUR_MS],
    ] as const)
      test(`hard case 31 beside it: ${name}: a server whose clock is an hour ${word} takes leases over as they are`, async (t) => {
        const endpoint = database(name).endpoint(`clock_${word}`);
        const first = await openHere(t, endpoint);
        const askedAt = performance.now();
        await first.leaseGrant({ id: 5n, ttlSeconds: LONG_TTL_S });
        const grantedAt = performance.now();
        await until("some of it is over", () => Promise.resolve(since(grantedAt) > 1.5));
        t.mock.timers.enable({ apis: ["Date"], now: Date.now() + jumpMs });
        const second = await openHere(t, endpoint);
        const least = since(grantedAt);
        const taken = await second.leaseTimeToLive(5n);
        assertLeft(taken.remainingTtlSeconds, { least, most: since(askedAt) }, "taken over");

        const againAt = performance.now();
        await second.leaseGrant({ id: 6n, ttlSeconds: LONG_TTL_S });
        t.mock.timers.reset();
        const back = await first.leaseTimeToLive(6n);
        assertLeft(back.remainingTtlSeconds, { least: 0, most: since(againAt) }, "granted by the other");
      });
});
