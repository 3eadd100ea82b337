import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTurn } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { CatchUp } from "../src/catch-up.ts";
import { tableTraits, type ChangedRow, type Changes, type Driver, type SharedDatabase } from "../src/driver.ts";
import { Leases } from "../src/leases.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import type { WatchEnd, WatchEvent } from "../src/types.ts";
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

/** What catches up with `shared`; `driver` is asked for heads. */
function newCatchUp(shared: SharedDatabase, changes: Partial<Driver> = {}) {
  const hub = new WatchHub();
  const index = new MvccIndex();
  const driver: Driver = {
    ...{ traits: tableTraits, shared, heads: unused, side: unused, values: unused, prune: unused, size: unused },
    ...{ commit: unused, defragment: unused, close: unused },
    ...changes,
  };
  const log = createLogger({ level: "error", format: "text", write: () => undefined });
  const values = new ValueCache(driver, 1000, () => undefined);
  const leases = new Leases({ driver, index, values, log, signal: AbortSignal.abort() });
  const catchUp = new CatchUp({
    ...{ driver, others: shared, index, values, leases, hub },
    syncLeases: () => leases.syncWith(shared),
  });
  return { catchUp, index, hub };
}

/** What becomes of a watch of everything that has been told nothing yet. */
function openWatch(hub: WatchHub): string[] {
  const told: string[] = [];
  const watch = {
    interval: { from: "", to: undefined },
    deliver: (events: readonly WatchEvent[]) => told.push(`events: ${events.length}`),
    end: ({ reason }: WatchEnd) => told.push(reason),
    replayFrom: (at: number) => told.push(`replay from ${at}`),
    endBefore: (at: number) => told.push(`end before ${at}`),
  };
  hub.open(watch);
  hub.goLive(watch);
  return told;
}

test("CatchUp: keys without a lease are told once, also those of a page before a failure", async () => {
  const { catchUp } = newCatchUp(twoRows());
  await assert.rejects(catchUp.run(false), /the connection was lost/);
  const unleased = await catchUp.run(false);
  assert.deepEqual(
    unleased.map(({ version }) => version.key),
    ["/k1", "/k2"],
  );
  assert.deepEqual(await catchUp.run(true), []);
});

interface TableRow {
  readonly id: number;
  readonly name: string;
  readonly prevRevision?: number;
  readonly deleted?: boolean;
}

/** A table of kine's that another server writes to and compacts. */
class Table {
  rows: readonly TableRow[] = [];
  compactRevision = 0;
  /** Called before rows are listed, after that, and before it says where it stands. */
  onHeads: () => void = () => undefined;
  afterHeads: () => void = () => undefined;
  onPosition: () => void = () => undefined;

  get shared(): SharedDatabase {
    const position = () => {
      this.onPosition();
      return { lastRow: this.rows.at(-1)?.id ?? 0, compactRevision: this.compactRevision };
    };
    return {
      ...{ leases: () => Promise.resolve([]), clockMs: () => Promise.resolve(0), claim: unused },
      changes: (after, limit) => Promise.resolve({ rows: this.#after(after, limit), spans: [] }),
      position: () => Promise.resolve(position()),
      onChange: () => undefined,
    };
  }

  async heads(after: number, limit: number): Promise<readonly ChangedRow[]> {
    await nextTurn();
    this.onHeads();
    const found = this.#after(after, limit);
    this.afterHeads();
    return found;
  }

  #after(after: number, limit: number): ChangedRow[] {
    const found = this.rows.filter(({ id }) => id > after).slice(0, limit);
    return found.map(({ id, name, prevRevision = 0, deleted = false }) => ({
      ...{ id, name, deleted, created: prevRevision === 0, createRevision: 0, prevRevision },
      ...{ ttlSeconds: 0, lease: 0n, value: deleted ? undefined : Buffer.from("v") },
    }));
  }
}

/** What has caught up with a table in which these keys were created. */
async function caughtUpWith(table: Table, ...names: readonly string[]) {
  const found = newCatchUp(table.shared, { heads: (after, limit) => table.heads(after, limit) });
  table.rows = names.map((name, i) => ({ id: i + 1, name }));
  await found.catchUp.run(false);
  return found;
}

function shownOf(index: MvccIndex): string[] {
  const live = index.scan({ from: "", to: undefined, revision: index.committed, limit: Infinity });
  return [`at ${index.committed}`, ...live.map(({ key, mod }) => `${key} ${mod}`)];
}

test("CatchUp: nothing is shown before keys are gone whose end was compacted unseen", async () => {
  const table = new Table();
  const { catchUp, index, hub } = await caughtUpWith(table, "/a", "/b", "/c");
  const told = openWatch(hub);
  const before = ["at 3", "/a 1", "/b 2", "/c 3"];
  assert.deepEqual(shownOf(index), before);
  // Of the rows 4 to 6, which ended /a and /b and made /b again, the last one is left.
  table.rows = [
    { id: 3, name: "/c" },
    { id: 6, name: "/b" },
    { id: 7, name: "/d" },
  ];
  table.compactRevision = 6;
  const seen: unknown[] = [];
  table.onHeads = () => {
    seen.push(shownOf(index), index.count({ from: "", to: undefined }, index.committed));
    throw new Error("the connection was lost");
  };
  await assert.rejects(catchUp.run(false), /the connection was lost/);
  assert.deepEqual(seen, [before, 3]);
  assert.deepEqual(shownOf(index), before);
  assert.deepEqual([index.lastRow, index.compactRevision, told], [3, 0, []]);
  table.onHeads = () => seen.push(shownOf(index));
  await catchUp.run(false);
  assert.deepEqual(seen[2], before);
  assert.deepEqual(shownOf(index), ["at 7", "/b 6", "/c 3", "/d 7"]);
  assert.equal(index.compactRevision, 6);
  assert.deepEqual(told, ["end before 6", "replay from 6"]);
  assert.equal(index.newest("/b")?.previous, undefined);
});

test("CatchUp: what was written while it looked for gone keys is not taken for gone", async () => {
  const table = new Table();
  const { catchUp, index } = await caughtUpWith(table, "/a", "/b");
  table.rows = [
    { id: 1, name: "/a" },
    { id: 4, name: "/c" },
  ];
  table.compactRevision = 3;
  table.onHeads = () => {
    table.rows = [
      { id: 4, name: "/c" },
      { id: 5, name: "/a", prevRevision: 1 },
    ];
    table.compactRevision = 4;
  };
  await catchUp.run(false);
  assert.deepEqual(shownOf(index), ["at 5", "/a 5", "/c 4"]);
});

test("CatchUp: keys are gone also where a compaction that was told of before their ends were read removes those late", async () => {
  const table = new Table();
  const { catchUp, index } = await caughtUpWith(table, "/a", "/b");
  const left = [
    { id: 2, name: "/b" },
    { id: 4, name: "/c" },
  ];
  table.rows = [{ id: 1, name: "/a" }, ...left];
  let asked = 0;
  table.onPosition = () => {
    if (++asked !== 2) return;
    // Behind the row up to which it reads.
    const end = { id: 5, name: "/a", prevRevision: 1, deleted: true };
    table.rows = [{ id: 1, name: "/a" }, ...left, end, { id: 6, name: "/d" }];
    table.compactRevision = 6;
  };
  table.afterHeads = () => (table.rows = [...left, { id: 6, name: "/d" }]);
  await catchUp.run(false);
  assert.deepEqual(shownOf(index), ["at 6", "/b 2", "/c 4", "/d 6"]);
});

test("CatchUp: keys are gone also where the driver tells of what is missing only at the end of its rows", async () => {
  const table = new Table();
  const gap = { ...{ id: 3, name: "gap-3", created: false, deleted: true }, createRevision: 0, prevRevision: 0 };
  const { shared } = table;
  const changes = async (after: number, limit: number): Promise<Changes> => {
    const { rows, spans } = await shared.changes(after, limit);
    if (after !== 2) return { rows, spans };
    return { rows: [{ ...gap, ttlSeconds: 0, lease: 0n, value: undefined }, ...rows], spans, completeFrom: 4 };
  };
  const heads: Driver["heads"] = (after, limit) => table.heads(after, limit);
  const { catchUp, index } = newCatchUp({ ...shared, changes }, { heads });
  table.rows = [
    { id: 1, name: "/a" },
    { id: 2, name: "/b" },
  ];
  await catchUp.run(false);
  table.rows = [
    { id: 2, name: "/b" },
    { id: 4, name: "/c" },
  ];
  await catchUp.run(false);
  assert.deepEqual(shownOf(index), ["at 4", "/b 2", "/c 4"]);
});
