import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@k3s/log";
import { DriverError, tableTraits, type Driver, type SharedDatabase } from "../src/driver.ts";
import { LostHistoryError } from "../src/history-check.ts";
import { Leases } from "../src/leases.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import { Recovery } from "../src/recovery.ts";
import { ValueCache } from "../src/value-cache.ts";
import { WatchHub } from "../src/watch-hub.ts";

const unused = () => Promise.reject(new Error("not asked here"));

/** A recovery of an index that ends with row 2, on a database that says, one by one, where it ends, or that it is away. */
function createRecovery(answers: readonly (number | "away")[]) {
  const signal = new AbortController().signal;
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });
  const index = new MvccIndex();
  index.skipRow(2, false);
  index.commit(2);
  let asked = 0;
  const shared: SharedDatabase = {
    ...{ changes: unused, leases: () => Promise.resolve([]), clockMs: () => Promise.resolve(0), claim: unused },
    position: () => {
      const lastRow = answers[asked++] ?? 2;
      if (lastRow === "away") return Promise.reject(new DriverError("failed", "Cannot read: it is away"));
      return Promise.resolve({ lastRow, compactRevision: 0 });
    },
    onChange: () => undefined,
  };
  const driver: Driver = {
    ...{ traits: tableTraits, shared, heads: unused, side: unused, values: unused, prune: unused, size: unused },
    ...{ commit: unused, defragment: unused, close: unused },
  };
  const values = new ValueCache(driver, 1000, () => undefined);
  const leases = new Leases({ driver, index, values, log, signal });
  const parts = { driver, index, values, leases, hub: new WatchHub(), log, signal };
  return { recovery: new Recovery({ ...parts, adopt: () => undefined }), lines };
}

test("Recovery: the log is told of a database that is away, also after a moment in which it lacked changes", async () => {
  const { recovery, lines } = createRecovery([1, "away", "away"]);
  const failures: unknown[] = [];
  await recovery.run((failure) => failures.push(failure), false);
  assert.deepEqual(
    failures.map((failure) => failure instanceof LostHistoryError),
    [true, false, false],
  );
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", / WARN .*cannot read the datastore after a failure, trying again/);
});
