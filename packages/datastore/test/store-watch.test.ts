import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn } from "@k3s/async";
import type { Driver } from "../src/driver.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import { StoreWatch } from "../src/store-watch.ts";
import type { WatchEnd } from "../src/types.ts";
import { ValueCache } from "../src/value-cache.ts";
import { versionAt } from "../src/version.ts";
import { WatchHub } from "../src/watch-hub.ts";

/** A key written ten times, of which another server has compacted some; all that is known of it here is that the first row is gone. */
function lostFirst(): MvccIndex {
  const index = new MvccIndex();
  for (let row = 1; row <= 10; row++) {
    const state = { create: 1, version: row, deleted: false, value: undefined };
    index.append({ key: "k", row, mod: row, lease: 0n, previous: index.newest("k"), ...state });
  }
  index.commit(10);
  index.lose(versionAt(index.newest("k"), 1) ?? assert.fail());
  assert.equal(index.compactRevision, 2);
  return index;
}

function oneRow(): MvccIndex {
  const index = new MvccIndex();
  const state = { create: 1, version: 1, deleted: false, value: undefined };
  index.append({ key: "k", row: 1, mod: 1, lease: 0n, previous: undefined, ...state });
  index.commit(1);
  return index;
}

/** How a watch of all keys from the beginning ends. */
function endOf(
  index: MvccIndex,
  learnCompaction: () => Promise<void>,
  read: Driver["values"] = () => Promise.reject(new Error("not asked here")),
): Promise<WatchEnd> {
  const failures: unknown[] = [];
  const values = new ValueCache({ values: read }, 1, () => undefined);
  const parts = { index, values, hub: new WatchHub(), learnCompaction };
  const { promise, resolve } = Promise.withResolvers<WatchEnd>();
  const range = { key: Buffer.of(0), rangeEnd: Buffer.of(0), startRevision: 1 };
  const request = { ...range, onEvents: () => assert.fail("an event before the end"), onEnd: resolve };
  new StoreWatch({ ...parts, onReplayFailure: (error) => failures.push(error) }, request);
  return promise;
}

describe("a watch of history that is gone here", () => {
  test("ends as compacted where the database says that it is", async () => {
    const index = lostFirst();
    const end = await endOf(index, () => {
      index.compact(7);
      return Promise.resolve();
    });
    assert.deepEqual(end, { reason: "compacted", compactRevision: 7 });
  });

  test("ends as compacted, too, where the database cannot be asked and a compaction is known", async () => {
    const index = lostFirst();
    index.compact(7);
    const end = await endOf(index, () => Promise.reject(new Error("the database is away")));
    assert.deepEqual(end, { reason: "compacted", compactRevision: 7 });
  });

  test("is not told a value that is gone, which only a compaction that is not known yet can have taken", async () => {
    const index = oneRow();
    const learn = () => {
      index.compact(5);
      return Promise.resolve();
    };
    const gone = (rows: readonly number[]) => Promise.resolve(rows.map(() => undefined));
    assert.deepEqual(await endOf(index, learn, gone), { reason: "compacted", compactRevision: 5 });
    assert.deepEqual(await endOf(oneRow(), () => Promise.resolve(), gone), { reason: "stopped" });
  });

  test("ends as stopped where the database cannot be asked: the client asks again", async () => {
    const end = await endOf(lostFirst(), () => Promise.reject(new Error("the database is away")));
    assert.deepEqual(end, { reason: "stopped" });
  });
});

describe("a watch that is told of a revision of thousands of events", () => {
  /** One revision of 3000 rows, whose values nobody has in memory. */
  function longRevision(): MvccIndex {
    const index = new MvccIndex();
    for (let row = 1; row <= 3000; row++) {
      const state = { create: 3000, version: 1, deleted: false, value: undefined };
      index.append({ key: `k${row}`, row, mod: 3000, lease: 0n, previous: undefined, ...state });
    }
    index.commit(3000);
    return index;
  }

  /** Watches it all. Answers what happened until long after `over` has resolved. */
  async function watched(given: {
    readonly onPart: (watch: StoreWatch) => void;
    readonly read: (rows: readonly number[], watch: StoreWatch) => Promise<readonly Buffer[]>;
    readonly over: Promise<void>;
  }) {
    const [failures, told]: [unknown[], number[]] = [[], []];
    const driver = { values: (rows: readonly number[]) => given.read(rows, watch) };
    const parts = {
      ...{ index: longRevision(), values: new ValueCache(driver, 1, () => undefined), hub: new WatchHub() },
      learnCompaction: () => Promise.resolve(),
      onReplayFailure: (error: unknown) => failures.push(error),
    };
    const watch: StoreWatch = new StoreWatch(parts, {
      ...{ key: Buffer.of(0), rangeEnd: Buffer.of(0), startRevision: 1 },
      onEvents: ({ events }) => {
        told.push(events.length);
        given.onPart(watch);
      },
      onEnd: () => assert.fail("an end after close()"),
    });
    await given.over;
    for (let turns = 0; turns < 100; turns++) await nextTurn();
    return { failures, told };
  }

  test("reads no more of it once it is closed", async () => {
    const closed = Promise.withResolvers<void>();
    let asked = 0;
    const seen = await watched({
      onPart: (watch) => {
        watch.close();
        closed.resolve();
      },
      read: (rows) => {
        asked += rows.length;
        return Promise.resolve(rows.map(() => Buffer.from("x")));
      },
      over: closed.promise,
    });
    assert.deepEqual([seen, asked], [{ failures: [], told: [1000] }, 1000]);
  });

  test("does not complain of a database that is closed with it", async () => {
    const closed = Promise.withResolvers<void>();
    const seen = await watched({
      onPart: () => undefined,
      read: (rows, watch) => {
        if ((rows[0] ?? 0) <= 1000) return Promise.resolve(rows.map(() => Buffer.from("x")));
        watch.close();
        closed.resolve();
        return Promise.reject(new Error("the database is closed"));
      },
      over: closed.promise,
    });
    assert.deepEqual(seen, { failures: [], told: [1000] });
  });
});
