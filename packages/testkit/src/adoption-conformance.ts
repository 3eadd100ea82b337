import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { openStore, type ClaimScope, type Driver, type OpenStore } from "@k3s/datastore";
import { createLogger } from "@k3s/log";
import { creations, EVERYTHING, query } from "./store-ops.ts";
import { until } from "./until.ts";
import { withClaim } from "./with-commit.ts";

/** Makes a new database, and opens drivers on it. */
type OpenDatabase = (t: TestContext) => Promise<() => Promise<Driver>>;

const KEYS = 40;
const TTL_SECONDS = 600;

/** That keys which a program writes with a time to live only get the same lease on each server, and nobody is kept back for it, as a test. */
export function adoptionConformance(label: string, begin: OpenDatabase): void {
  test(`a key with a time to live only has one lease, whichever server is asked, on ${label}`, async (t) => {
    const open = await begin(t);
    const kine = await open();
    const claims: ClaimScope[] = [];
    const log = createLogger({ level: "error", format: "text", write: (line) => t.diagnostic(line) });
    const stores: OpenStore[] = [];
    for (let i = 0; i < 2; i++) {
      const store = await openStore(notingClaims(await open(), claims), { log });
      t.after(() => store.close());
      stores.push(store);
    }
    const shared = kine.shared ?? assert.fail();
    for (let n = 0; n < KEYS; n++) {
      const { lastRow } = await shared.position();
      const batch = creations(lastRow, `/registry/events/${n}`);
      await kine.commit({ ...batch, rows: batch.rows.map((row) => ({ ...row, ttlSeconds: TTL_SECONDS })) });
    }
    const told = await Promise.all(stores.map((store) => leasesOnceAllHave(store)));
    assert.deepEqual(told[0], told[1]);
    const lists = await Promise.all(stores.map((store) => store.leaseList()));
    assert.deepEqual(lists[0]?.toSorted(), lists[1]?.toSorted());
    assert.deepEqual(new Set(lists[0]), new Set(told[0]));
    assert.deepEqual(claims, [], "both servers only read and gave leases");
  });
}

/** The lease of each key, in their order. */
async function leasesOnceAllHave(store: OpenStore): Promise<bigint[]> {
  return until("all keys have a lease", async () => {
    const { kvs } = await store.range(query(EVERYTHING));
    const leases = kvs.map(({ lease }) => lease);
    return leases.length === KEYS && !leases.includes(0n) && leases;
  });
}

function notingClaims(driver: Driver, claims: ClaimScope[]): Driver {
  const { shared } = driver;
  if (shared === undefined) return driver;
  return withClaim(driver, (scope) => {
    claims.push(scope);
    return shared.claim(scope);
  });
}
