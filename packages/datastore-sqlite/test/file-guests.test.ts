import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import {
  emptyBatch,
  openStore,
  StoreError,
  type Driver,
  type Guests,
  type NewRow,
  type Position,
} from "@k3s/datastore";
import { collectLog, until, WatchRecorder } from "@k3s/testkit";
import { FileGuests } from "../src/file-guests.ts";
import { openSqliteDriver } from "../src/index.ts";
import { below, create, del, just, modIs, put, query } from "./support/ops.ts";
import { openElsewhere, sql } from "./support/python.ts";
import { eventually, silent, storeAt, tempDatabase } from "./support/temp-store.ts";

const unused = () => Promise.reject(new Error("not expected"));
const reading = { heads: unused, side: unused, values: unused, position: unused };
const about = { path: "state.db", log: silent };

/** What kine writes for a new key. */
const INSERT = `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value)
  VALUES ('/a/kine', 1, 0, 0, 0, 0, x'6b')`;

function row(id: number, name: string): NewRow {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0 };
  return { id, name, ...plain, lease: id === 3 ? 7n : 0n, value: Buffer.from(`value ${id}`) };
}

async function openDriver(t: TestContext, path: string): Promise<Driver> {
  const driver = await openSqliteDriver({ path, log: silent });
  t.after(() => driver.close());
  return driver;
}

function guestsOf(driver: Driver): Guests {
  return driver.guests ?? assert.fail("the driver has no guests");
}

async function grown(count: () => number, more: number): Promise<void> {
  const goal = count() + more;
  await until("it was asked", () => Promise.resolve(count() >= goal));
}

/** Guests of whom no look at the locks tells, on a file that stands where it is told. */
function positions(t: TestContext, first: Position | Error) {
  const state = { now: first, turns: 0, looks: 0, calls: 0 };
  const areThere = () => ++state.turns < 0; // counts, and is never true
  const position = () => {
    state.looks++;
    return state.now instanceof Error ? Promise.reject(state.now) : Promise.resolve(state.now);
  };
  const guests = new FileGuests({ ...about, reading: { ...reading, position }, others: { areThere } });
  t.after(() => guests.stop());
  guests.onChange(() => state.calls++);
  return {
    guests,
    set: (now: Position) => (state.now = now),
    count: () => state.looks,
    calls: () => state.calls,
    /** Resolves once so many more looks at the locks were taken. */
    turns: (more: number) => grown(() => state.turns, more),
    /** Resolves once the file was asked so many more times, and what it said was taken in. */
    async looks(more: number): Promise<void> {
      await grown(() => state.looks, more);
      await nextTurn();
    },
  };
}

describe("FileGuests", () => {
  test("looks at the file's locks once for many reads, and counts a guest for a while after it has gone", (t) => {
    let [now, looks, isThere] = [0, 0, false];
    const areThere = () => {
      looks++;
      return isThere;
    };
    const guests = new FileGuests({ ...about, reading, others: { areThere }, nowMs: () => now });
    t.after(() => guests.stop());
    assert.deepEqual([guests.areThere(), guests.areThere(), looks], [false, false, 1]);
    isThere = true;
    now += 9;
    assert.equal(guests.areThere(), false);
    now += 1;
    assert.deepEqual([guests.areThere(), looks], [true, 2]);
    isThere = false;
    now += 4990;
    assert.equal(guests.areThere(), true);
    now += 10;
    assert.equal(guests.areThere(), false);
  });

  test("calls the listener again and again while a guest is there, and asks for nothing once it is stopped", async () => {
    let looks = 0;
    const areThere = () => {
      looks++;
      return true;
    };
    const guests = new FileGuests({ ...about, reading, others: { areThere } });
    let calls = 0;
    const thrice = Promise.withResolvers<void>();
    guests.onChange(() => (++calls === 3 ? thrice.resolve() : undefined));
    await thrice.promise;
    await guests.stop();
    const after = looks;
    assert.deepEqual([guests.areThere(), looks], [false, after]);
  });

  test("counts a guest as there while the kernel cannot tell, and says so once, with cause and cure", async () => {
    const { log, lines } = collectLog();
    const cause = Object.assign(new Error("Cannot look for locks: no locks available"), { code: "ENOLCK" });
    const areThere = () => {
      throw cause;
    };
    const guests = new FileGuests({ reading, others: { areThere }, path: "/db/state.db", log });
    const called = Promise.withResolvers<void>();
    guests.onChange(called.resolve);
    assert.equal(guests.areThere(), true);
    await called.promise;
    await guests.stop();
    assert.equal(lines.length, 1);
    const { level, file, error, cure } = JSON.parse(lines.join("")) as Readonly<Record<string, unknown>>;
    assert.deepEqual([level, file], ["warn", "/db/state.db"]);
    assert.match(JSON.stringify(error), /no locks available/);
    assert.match(String(cure), /local disk/);
  });

  test("counts as there who left a row or a compaction that is neither shown nor ours, and calls the listener", async (t) => {
    for (const left of [
      { lastRow: 5, compactRevision: 2 },
      { lastRow: 4, compactRevision: 3 },
    ]) {
      const file = positions(t, { lastRow: 4, compactRevision: 2 });
      file.guests.compare(() => ({ lastRow: 4, compactRevision: 2 }));
      await file.looks(2);
      assert.deepEqual([file.guests.areThere(), file.calls()], [false, 0]);
      file.set(left);
      await file.looks(1);
      assert.deepEqual([file.guests.areThere(), file.calls() > 0], [true, true]);
    }
  });

  test("does not take a commit of ours for a guest's, before or after it is answered, unless it was refused", async (t) => {
    const file = positions(t, { lastRow: 4, compactRevision: 0 });
    const { guests } = file;
    guests.compare(() => ({ lastRow: 4, compactRevision: 0 }));
    const answer = Promise.withResolvers<void>();
    const batch = { ...emptyBatch, rows: [row(5, "/a"), row(6, "/b")], compactRevision: 3 };
    const made = guests.ownCommit(batch, () => answer.promise);
    file.set({ lastRow: 6, compactRevision: 3 });
    await file.looks(2);
    assert.equal(guests.areThere(), false);
    answer.resolve();
    await made;
    await file.looks(1);
    assert.equal(guests.areThere(), false);
    const deletions = { first: 7, rows: Float64Array.of(5, 6) };
    const refused = guests.ownCommit({ ...emptyBatch, deletions }, () => Promise.reject(new Error("a conflict")));
    await assert.rejects(refused, /a conflict/);
    file.set({ lastRow: 8, compactRevision: 3 });
    await file.looks(1);
    assert.equal(guests.areThere(), true);
  });

  test("asks again for what it could not read, and for nothing before there is something to compare", async (t) => {
    const file = positions(t, new Error("the file is busy"));
    await file.turns(3);
    assert.equal(file.count(), 0);
    file.guests.compare(() => ({ lastRow: 4, compactRevision: 2 }));
    await file.looks(2);
    assert.deepEqual([file.guests.areThere(), file.calls()], [false, 0]);
    file.set({ lastRow: 5, compactRevision: 2 });
    await file.looks(1);
    assert.deepEqual([file.guests.areThere(), file.calls() > 0], [true, true]);
  });

  test("position() tells the last row and what kine's marker says, wherever that row is", async (t) => {
    const path = await tempDatabase(t);
    const guests = guestsOf(await openDriver(t, path));
    assert.deepEqual(await guests.position(), { lastRow: 0, compactRevision: 0 });
    await sql(path, INSERT, "INSERT INTO kine (name, prev_revision) VALUES ('compact_rev_key', 1)");
    assert.deepEqual(await guests.position(), { lastRow: 2, compactRevision: 1 });
    await sql(path, "UPDATE kine SET prev_revision = 2 WHERE name = 'compact_rev_key'");
    assert.deepEqual(await guests.position(), { lastRow: 2, compactRevision: 2 });
    await sql(
      path,
      "DELETE FROM kine WHERE id = 2",
      "INSERT INTO kine (name, prev_revision) VALUES ('compact_rev_key', 3)",
    );
    assert.deepEqual(await guests.position(), { lastRow: 3, compactRevision: 3 });
  });

  test("changes() gives whole transactions, with leases and values", async (t) => {
    const driver = await openDriver(t, await tempDatabase(t));
    const rows = ["/a", "/b", "/c", "/d", "/e"].map((name, i) => row(i + 1, name));
    const leases = [{ id: 7n, ttlSeconds: 60, expiresAtMs: 1 }];
    const rowLeases = [[3, 7n]] as const;
    await driver.commit({ ...emptyBatch, rows, spans: [{ first: 2, last: 4 }], leases, rowLeases });
    const changes = await guestsOf(driver).changes(0, 2);
    assert.deepEqual(
      changes.rows.map(({ id, lease, value }) => [id, lease, value?.toString()]),
      [
        [1, 0n, "value 1"],
        [2, 0n, "value 2"],
        [3, 7n, "value 3"],
        [4, 0n, "value 4"],
      ],
    );
    assert.deepEqual(changes.spans, [{ first: 2, last: 4 }]);
    const rest = await guestsOf(driver).changes(4, 2);
    assert.deepEqual([rest.rows.map(({ id }) => id), rest.spans], [[5], []]);
    assert.deepEqual(await guestsOf(driver).changes(5, 2), { rows: [], spans: [] });
  });

  test("is not there where another program makes the checkpoints, and so has the file open all the time", async (t) => {
    const path = await tempDatabase(t);
    const driver = await openSqliteDriver({ path, log: silent, settings: { checkpoints: "external" } });
    t.after(() => driver.close());
    assert.equal(driver.guests, undefined);
  });
});

test("a store shows and tells what another program writes to its file, without a write of its own", async (t) => {
  const path = await tempDatabase(t);
  const store = await storeAt(t, path);
  const recorder = new WatchRecorder(store, below("/a/"));
  const guest = await openElsewhere(t, path);
  await sql(path, INSERT);
  await recorder.count(1);
  assert.deepEqual(recorder.lines, ["3 put /a/kine=k"]);
  assert.equal((await store.range(query(below("/a/")))).count, 1);
  await sql(path, INSERT.replace("/a/kine", "/a/more"));
  assert.equal((await store.range(query(below("/a/")))).count, 2);
  await sql(path, INSERT.replace("/a/kine", "/a/third"));
  const isNew = { compare: [modIs("/a/third", 0)], success: [put("/a/third", "ours")], failure: [] };
  assert.equal((await store.txn(isNew)).succeeded, false);
  await guest.close();
  const ours = await store.txn(create("/a/ours", "1"));
  assert.equal(ours.revision, 6);
});

test("a store shows and tells the row of a program that wrote it and went between two looks", async (t) => {
  const path = await tempDatabase(t);
  const store = await storeAt(t, path);
  const recorder = new WatchRecorder(store, below("/a/"));
  await sql(path, INSERT);
  await eventually(async () => assert.equal((await store.range(query(below("/a/")))).count, 1));
  await recorder.count(1);
  assert.deepEqual(recorder.lines, ["3 put /a/kine=k"]);
});

test("a store learns of a compaction by a program that went between two looks", async (t) => {
  const path = await tempDatabase(t);
  const store = await storeAt(t, path);
  const { revision } = await store.txn(create("/a", "1"));
  await store.txn(just(put("/a", "2")));
  await sql(path, `UPDATE kine SET prev_revision = ${revision} WHERE name = 'compact_rev_key'`);
  await eventually(async () => assert.equal((await store.status()).compactRevision, revision));
});

test("a store takes none of its own commits and compactions for those of a guest", async (t) => {
  const path = await tempDatabase(t);
  const driver = await openDriver(t, path);
  const store = await openStore(driver, { log: silent });
  t.after(() => store.close());
  const seen = new Set<boolean>();
  for (const end = performance.now() + 1500; performance.now() < end;) {
    const values = [...Array(20).keys()].map((i) => put(`/a/${i}`, "1"));
    const { revision } = await store.txn(just(...values));
    await store.compact(revision);
    seen.add(guestsOf(driver).areThere());
    await store.txn(just(del("/a/", "/a0")));
  }
  assert.deepEqual([...seen], [false]);
});

test("a store tells the end of a key that another program wrote and compacted before it was read", async (t) => {
  const path = await tempDatabase(t);
  const store = await storeAt(t, path);
  const recorder = new WatchRecorder(store, below("/a/"));
  const { revision } = await store.txn(create("/a/ended", "1"));
  await openElsewhere(t, path);
  await sql(
    path,
    `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease) VALUES ('/a/ended', 0, 1, 0, ${revision}, 0)`,
    INSERT,
    `DELETE FROM kine WHERE id IN (${revision}, ${revision + 1})`,
    `UPDATE kine SET prev_revision = ${revision + 1} WHERE name = 'compact_rev_key'`,
  );
  const { kvs } = await store.range(query(below("/a/")));
  assert.deepEqual(
    kvs.map(({ key }) => key.toString()),
    ["/a/kine"],
  );
  await recorder.count(3);
  assert.deepEqual(recorder.lines, ["3 put /a/ended=1", "4 delete /a/ended= was 1@3", "5 put /a/kine=k"]);
  const past = store.range(query(below("/a/"), { revision }));
  await assert.rejects(past, (error) => error instanceof StoreError && error.reason === "compacted");
});
