import assert from "node:assert/strict";
import { StoreError, type Store } from "@k3s/datastore";
import { put } from "./store-ops.ts";

const ROUNDS = 5;

/** Asserts that of compactions at one revision that all `stores` on one database are asked for at once only one is carried out. */
export async function assertOneCompacts(stores: readonly [Store, ...Store[]]): Promise<void> {
  const [first] = stores;
  for (let round = 0; round < ROUNDS; round++) {
    await first.txn({ compare: [], success: [put("/k", `${round}`)], failure: [] });
    const at = first.currentRevision;
    await Promise.all(stores.map((store) => store.fresh()));
    const results = await Promise.allSettled(stores.map((store) => store.compact(at)));
    assert.deepEqual(
      results.map(outcomeOf).sort(),
      stores.map((_, i) => (i === 0 ? "carried out" : "compacted")).sort(),
    );
  }
}

function outcomeOf(result: PromiseSettledResult<unknown>): string {
  if (result.status === "fulfilled") return "carried out";
  return result.reason instanceof StoreError ? result.reason.reason : String(result.reason);
}
