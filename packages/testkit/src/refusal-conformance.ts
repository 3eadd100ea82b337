import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Store } from "@k3s/datastore";
import { contents, isRefused, rangeOf, write } from "./store-ops.ts";
import { WatchRecorder } from "./watch-recorder.ts";

const KEYS = 60;
const FORBIDDEN: ReadonlySet<number> = new Set([3, 30, 31, 59]);
const KEPT = KEYS - FORBIDDEN.size;

/** The constraint that {@link refusalConformance} needs: nobody but the database knows which names it refuses. */
export const FORBIDDING = "CONSTRAINT no_forbidden CHECK (name NOT LIKE '%forbidden%')";

/** Servers on one table that has the constraint. */
interface RuledStores {
  readonly stores: readonly [Store, ...Store[]];
  /** What their log was told. */
  readonly lines: readonly string[];
}

/** What becomes of changes that the database refuses by itself, and of all others, as a test. With two stores they meet conflicts as well. */
export function refusalConformance(label: string, open: (t: TestContext) => Promise<RuledStores>): void {
  test(`only what ${label} refuses is refused, and all that shares its commit is written`, async (t) => {
    const { stores, lines } = await open(t);
    const seen = stores.map((store) => new WatchRecorder(store, rangeOf("/rules/", "/rules0")));
    const keys = Array.from({ length: KEYS }, (_, i) => `/rules/${FORBIDDEN.has(i) ? "forbidden" : "kept"}${i}`);
    const put = (key: string, i: number) => (stores[i % stores.length] ?? stores[0]).txn(write(key, 0, key));
    const outcomes = await Promise.allSettled(keys.map(put));
    for (const [i, outcome] of outcomes.entries())
      if (outcome.status === "fulfilled") assert.ok(outcome.value.succeeded && !FORBIDDEN.has(i), keys[i]);
      else assert.ok(FORBIDDEN.has(i) && isRefused(outcome.reason, "no_forbidden"), String(outcome.reason));
    const kept = (await contents(stores[0])).filter((line) => line.startsWith("/rules/"));
    assert.equal(kept.length, KEPT);
    await Promise.all(seen.map((recorder) => recorder.count(KEPT)));
    const told = lines.join("");
    assert.match(told, /refused a change that the datastore cannot hold/);
    assert.doesNotMatch(told, /cannot be used|cannot commit/);
  });
}
