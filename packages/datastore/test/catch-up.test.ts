import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@k3s/log";
import { CatchUp } from "../src/catch-up.ts";
import { tableTraits, type Changes, type Driver, type SharedDatabase } from "../src/driver.ts";
import { Leases } from "../src/leases.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import { ValueCache } from "../src/value-cache.ts";
import { WatchHub } from "../src/watch-hub.ts";

const unused = () => Promise.reject(new Error("not asked here"));

/** Two rows of kine's with a time to live, told one by one; the question for the second fails at first. */
function twoRows(): SharedDatabase {
  let isCut = false;
  const row = (id: number) => ({
    ...{ id, name: `/k${id}`, created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 60 },
    ...{ lease: 0n, value: Buffer.from("v") },
  });
  const changes = (after: number): Promise<Changes> => {
    if (after === 1 && !isCut) {
      isCut = true;
      return Promise.reject(new Error("the connection was lost"));
    }
    return Promise.resolve({ rows: [row(after + 1)], spans: [] });
  };
  return {
    ...{ changes, leases: () => Promise.resolve([]), clockMs: () => Promise.resolve(0), claim: unused },
    position: () => Promise.resolve({ lastRow: 2, compactRevision: 0 }),
    onChange: () => undefined,
  };
}

test("CatchUp: keys without a lease are told once, also those of a page before a failure", async () => {
  const index = new MvccIndex();
  const shared = twoRows();
  const driver: Driver = {
    ...{ traits: tableTraits, shared, heads: unused, side: unused, values: unused, prune: unused, size: unused },
    ...{ commit: unused, defragment: unused, close: unused },
  };
  const log = createLogger({ level: "error", format: "text", write: () => undefined });
  const values = new ValueCache(driver, 1000, () => undefined);
  const leases = new Leases({ driver, index, values, log, signal: AbortSignal.abort() });
  const catchUp = new CatchUp({
    ...{ driver, others: shared, index, values, leases, hub: new WatchHub() },
    syncLeases: () => leases.syncWith(shared),
  });
  await assert.rejects(catchUp.run(false), /the connection was lost/);
  const unleased = await catchUp.run(false);
  assert.deepEqual(
    unleased.map(({ version }) => version.key),
    ["/k1", "/k2"],
  );
  assert.deepEqual(await catchUp.run(true), []);
});
