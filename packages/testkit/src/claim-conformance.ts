import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { CLAIM_LIMIT_MS, DriverError, type Claim, type Driver } from "@k3s/datastore";
import { creations } from "./store-ops.ts";

/** Long enough that a claim which nobody keeps is over. */
const KEPT_MS = 2 * CLAIM_LIMIT_MS;
const TRIES = 5;
/** Some databases only tell the others of it. */
const HEARD_MS = 100;

/** Two drivers on one new database. */
type OpenTwoDrivers = (t: TestContext) => Promise<readonly [Driver, Driver]>;

/** That a claim lasts for as long as it is kept, as a test. */
export function claimConformance(label: string, open: OpenTwoDrivers): void {
  test(`a claim that is kept holds the commits of others back on ${label}, longer than one that is not`, async (t) => {
    const [one, other] = await open(t);
    const shared = one.shared ?? assert.fail();
    for (let left = TRIES; ; left--) {
      const { lastRow: after } = await shared.position();
      const claim = await shared.claim("servers");
      const claimedAt = performance.now();
      await sleep(HEARD_MS);
      let waitedMs = Infinity;
      const theirs = other
        .commit(creations(after, `/theirs/${left}`))
        .catch((error: unknown) => error)
        .finally(() => (waitedMs = performance.now() - claimedAt));
      const pauseMs = await keep(claim);
      // They had not heard of it, or the machine stood still for so long that it ended.
      const isOdd = waitedMs < CLAIM_LIMIT_MS / 2 || pauseMs > CLAIM_LIMIT_MS / 2;
      if (waitedMs < Infinity && isOdd && left > 1) {
        await claim.release();
        continue;
      }
      assert.equal(waitedMs, Infinity, `the longest pause was ${pauseMs} ms`);
      await one.commit(creations(after, "/ours"));
      const error = await theirs;
      assert.ok(error instanceof DriverError && error.kind === "conflict", String(error));
      return;
    }
  });
}

/** Keeps it for longer than it would last. Answers with the longest time in between, in ms. */
async function keep(claim: Claim): Promise<number> {
  const begin = performance.now();
  let [last, longest] = [begin, 0];
  while (last - begin < KEPT_MS) {
    await sleep(CLAIM_LIMIT_MS / 8);
    await claim.keep();
    const now = performance.now();
    [last, longest] = [now, Math.max(longest, now - last)];
  }
  return longest;
}
