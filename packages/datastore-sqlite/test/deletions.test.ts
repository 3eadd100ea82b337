import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { DriverError, emptyBatch, type Driver, type NewRow } from "@k3s/datastore";
import { openSqliteDriver } from "../src/index.ts";
import { sql } from "./support/python.ts";
import { silent, tempDatabase } from "./support/temp-store.ts";

const NAMES = ["/a", "escaped-key:00ff", "/c"];

function created(id: number, name: string): NewRow {
  const numbers = { createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, created: true, deleted: false, ...numbers, value: Buffer.from(`value ${id}`) };
}

/** A table with rows 1, 2 and 3. */
async function filled(t: TestContext): Promise<{ driver: Driver; path: string }> {
  const path = await tempDatabase(t);
  const driver = await openSqliteDriver({ path, log: silent });
  t.after(() => driver.close());
  await driver.commit({ ...emptyBatch, rows: NAMES.map((name, i) => created(i + 1, name)) });
  return { driver, path };
}

function deletions(first: number, rows: readonly number[]) {
  const spans = [{ first, last: first + rows.length - 1 }];
  return { ...emptyBatch, after: first - 1, deletions: { first, rows: Float64Array.from(rows) }, spans };
}

const isConflict = (error: unknown) => error instanceof DriverError && error.kind === "conflict";

describe("a batch of deletions", () => {
  test("makes rows as kine does, with the name and the value of the row before", async (t) => {
    const { driver, path } = await filled(t);
    await driver.commit(deletions(4, [3, 1, 2]));
    const columns =
      "id, name, created, deleted, create_revision, prev_revision, lease, value IS NULL, CAST(old_value AS TEXT)";
    assert.deepEqual(await sql(path, `SELECT ${columns} FROM kine WHERE id > 3`), [
      [4, "/c", 0, 1, 0, 3, 0, 1, "value 3"],
      [5, "/a", 0, 1, 0, 1, 0, 1, "value 1"],
      [6, "escaped-key:00ff", 0, 1, 0, 2, 0, 1, "value 2"],
    ]);
    assert.deepEqual((await driver.side()).spans, [{ first: 4, last: 6 }]);
  });

  test("can be committed again, as on a disk that was full", async (t) => {
    const { driver } = await filled(t);
    const batch = deletions(4, [1, 2, 3]);
    await driver.commit({ ...emptyBatch, after: 3, rows: [created(4, "/d")] });
    await assert.rejects(driver.commit(batch), isConflict);
    await assert.rejects(driver.commit(batch), isConflict);
    assert.deepEqual([...batch.deletions.rows], [1, 2, 3]);
  });

  test("fills the place of a row that is gone with a gap", async (t) => {
    const { driver, path } = await filled(t);
    await sql(path, "DELETE FROM kine WHERE id = 2");
    await driver.commit(deletions(4, [1, 2]));
    const heads = (await driver.heads(3, 10)).map(({ id, name, deleted, prevRevision }) => [
      id,
      name,
      deleted,
      prevRevision,
    ]);
    assert.deepEqual(heads, [
      [4, "/a", true, 1],
      [5, "gap-5", true, 0],
    ]);
  });

  test("is refused as a whole where it was not planned on the last row", async (t) => {
    const { driver } = await filled(t);
    await driver.commit({ ...emptyBatch, after: 3, rows: [{ ...created(4, "/c"), created: false, prevRevision: 3 }] });
    await assert.rejects(driver.commit({ ...deletions(5, [1, 2, 3]), after: 3 }), isConflict);
    assert.deepEqual(await driver.heads(4, 10), []);
  });
});
