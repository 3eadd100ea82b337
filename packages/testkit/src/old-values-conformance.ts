import assert from "node:assert/strict";
import { test } from "node:test";
import type { NewRow } from "@k3s/datastore";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { batchOf, creations } from "./store-ops.ts";

const MIB = 1024 * 1024;

/** Rows of one key: created, changed, deleted, created again. Its values have this size. */
export function lifeOf(name: string, after: number, size: number): NewRow[] {
  const [created] = creations(after, name).rows;
  assert.ok(created);
  const value = (text: string) => Buffer.alloc(size, text);
  const [first, second, third, fourth] = [1, 2, 3, 4].map((i) => after + i) as [number, number, number, number];
  return [
    { ...created, value: value("one") },
    { ...created, id: second, created: false, createRevision: first, prevRevision: first, value: value("two") },
    { ...created, id: third, created: false, deleted: true, prevRevision: second, value: undefined },
    { ...created, id: fourth, prevRevision: third, value: value("four") },
  ];
}

/** That kine's column of old values is filled, as tests. `query` asks all rows for their ids, the lengths of value and old value, and three letters of the latter. */
export function oldValuesConformance(database: SqlTestDatabase, query: string): void {
  for (const size of [0, 3, 100_000, MIB]) {
    test(`fills old_value from rows of the same batch and of earlier ones, with values of ${size} bytes`, async (t) => {
      const name = database.newName();
      const driver = await database.open(t, { dsn: database.dsn(name) });
      const rows = [...lifeOf("/together", 0, size), ...lifeOf("/apart", 4, size)];
      await driver.commit(batchOf(0, rows.slice(0, 5)));
      for (const [i, row] of rows.slice(5).entries()) await driver.commit(batchOf(5 + i, [row]));
      const left = (text: string) => text.slice(0, size);
      const expected = [0, 4].flatMap((after) => [
        [after + 1, size, null, null],
        [after + 2, size, size, left("one")],
        [after + 3, null, size, left("two")],
        [after + 4, size, null, null],
      ]);
      assert.deepEqual(await database.sql(t, name, query), expected);
    });
  }
}
