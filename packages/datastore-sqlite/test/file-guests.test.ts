import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { emptyBatch, StoreError, type Driver, type Guests, type NewRow } from "@k3s/datastore";
import { WatchRecorder } from "@k3s/testkit";
import { FileGuests } from "../src/file-guests.ts";
import { openSqliteDriver } from "../src/index.ts";
import { below, create, modIs, put, query } from "./support/ops.ts";
import { openElsewhere, sql } from "./support/python.ts";
import { silent, storeAt, tempDatabase } from "./support/temp-store.ts";

const unused = () => Promise.reject(new Error("not expected"));
const reading = { heads: unused, side: unused, values: unused, position: unused };

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

describe("FileGuests", () => {
  test("looks at the file's locks once for many reads, and counts a guest for a while after it has gone", (t) => {
    let [now, looks, isThere] = [0, 0, false];
    const areThere = () => {
      looks++;
      return isThere;
    };
    const guests = new FileGuests({ reading, others: { areThere }, nowMs: () => now });
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
    const guests = new FileGuests({ reading, others: { areThere } });
    let calls = 0;
    const thrice = Promise.withResolvers<void>();
    guests.onChange(() => (++calls === 3 ? thrice.resolve() : undefined));
    await thrice.promise;
    await guests.stop();
    const after = looks;
    assert.deepEqual([guests.areThere(), looks], [false, after]);
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
