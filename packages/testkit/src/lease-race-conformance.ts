import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { DriverError, openStore, type CommitBatch, type Driver } from "@k3s/datastore";
import { createLogger } from "@k3s/log";
import { withCommit } from "./with-commit.ts";

/** Two drivers on one new database. */
type OpenTwoDrivers = (t: TestContext) => Promise<readonly [Driver, Driver]>;

/** The shortest time that etcd and we grant. */
const TTL_SECONDS = 2;

/** That a lease which one server is about to end as expired lives on when another has renewed it, as a test. */
export function leaseRaceConformance(label: string, open: OpenTwoDrivers): void {
  test(`a lease that was renewed elsewhere is not ended by who found it due before, on ${label}`, async (t) => {
    const [driver, other] = await open(t);
    const found = Promise.withResolvers<void>();
    const renewed = Promise.withResolvers<void>();
    const outcome = Promise.withResolvers<unknown>();
    const commit = async (batch: CommitBatch) => {
      if (batch.endedLeases.length === 0) return driver.commit(batch);
      found.resolve();
      await renewed.promise;
      const committed = driver.commit(batch);
      outcome.resolve(committed.catch((error: unknown) => error));
      return committed;
    };
    const log = createLogger({ level: "error", format: "text", write: (line) => t.diagnostic(line) });
    const renewing = await openStore(other, { log });
    t.after(() => renewing.close());
    const ending = await openStore(withCommit(driver, commit), { log });
    t.after(() => ending.close());
    const { id } = await ending.leaseGrant({ id: 0n, ttlSeconds: TTL_SECONDS });
    await found.promise;
    assert.equal((await renewing.leaseKeepAlive(id)).remainingTtlSeconds, TTL_SECONDS);
    renewed.resolve();
    const error = await outcome.promise;
    assert.ok(error instanceof DriverError && error.kind === "conflict", String(error));
  });
}
