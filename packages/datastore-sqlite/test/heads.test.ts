import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { connect, type Connection } from "../src/connection.ts";
import { packHeads, unpackHeads } from "../src/packed-heads.ts";
import { readerOperations } from "../src/reader-operations.ts";
import { headsSource, indexHeads, prepareSchema } from "../src/schema.ts";
import { tempDatabase } from "./support/temp-store.ts";

const PAGE = { after: 2, limit: 3 };

/** A table with rows 1 to 500, as a start finds it. */
async function filled(t: TestContext): Promise<Connection> {
  const path = await tempDatabase(t);
  await mkdir(dirname(path));
  await writeFile(path, "");
  const settings = { path, isReadOnly: false, cachePages: -2048, busyTimeoutMs: 1000, synchronous: "FULL" } as const;
  const database = connect({ ...settings, autoVacuum: "NONE", secureDelete: undefined, addon: undefined });
  t.after(() => database.close());
  prepareSchema(database, false);
  database.exec(`WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 500)
    INSERT INTO kine SELECT id, '/key-' || id, 1, 0, 0, 0, 60, zeroblob(1000), NULL FROM ids`);
  return database;
}

function plan(database: Connection): string {
  const source = headsSource(database);
  const rows = database
    .prepare(`EXPLAIN QUERY PLAN SELECT id, name, lease FROM ${source} WHERE id > 2 ORDER BY id`)
    .all();
  return (rows as { detail: string }[]).map(({ detail }) => detail).join();
}

describe("heads of rows", () => {
  test("are read from an index that has all of them, in the order of the ids, once it was made", async (t) => {
    const database = await filled(t);
    const operations = readerOperations(database);
    const head = (id: number) => ({
      ...{ id, name: `/key-${id}`, created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 60 },
    });
    const read = () => assert.deepEqual(unpackHeads(operations.heads(PAGE)), [head(3), head(4), head(5)]);
    assert.match(plan(database), /^SEARCH kine USING INTEGER PRIMARY KEY/);
    read();
    assert.deepEqual([indexHeads(database), indexHeads(database)], [true, false]);
    assert.match(plan(database), /^SEARCH kine USING COVERING INDEX kine_heads_index \(id>\?\)$/);
    read();
    database.exec("DROP INDEX kine_heads_index");
    read();
  });

  test("are read from the table where there was no room for the index, which can be made later", async (t) => {
    const database = await filled(t);
    database.exec("VACUUM");
    const pages = Number(database.pragma("page_count", { simple: true }));
    database.pragma(`max_page_count = ${pages}`);
    assert.throws(() => indexHeads(database), { code: "SQLITE_FULL" });
    assert.match(plan(database), /^SEARCH kine USING INTEGER PRIMARY KEY/);
    assert.equal(unpackHeads(readerOperations(database).heads(PAGE)).length, 3);
    database.pragma(`max_page_count = ${pages * 2}`);
    assert.equal(indexHeads(database), true);
  });

  test("are the same after their way between threads, whatever the name is", () => {
    const numbers = [1, 0, 9_007_199_254_740_991, 5, 60] as const;
    const names = ["/a", "/ü/€/😀", "", "/b", 123, null];
    for (const some of [names, ["/a", "/b"], []]) {
      const heads = unpackHeads(packHeads(some.map((name, i) => [i + 1, name, ...numbers] as const)));
      assert.deepEqual(
        heads.map(({ id, name }) => [id, name]),
        some.map((name, i) => [i + 1, String(name ?? "")]),
      );
      for (const { created, deleted, createRevision, prevRevision, ttlSeconds } of heads)
        assert.deepEqual(
          [created, deleted, createRevision, prevRevision, ttlSeconds],
          [true, false, ...numbers.slice(2)],
        );
    }
    const [nothing] = unpackHeads(packHeads([[7, "/c", null, null, null, null, null]]));
    assert.deepEqual(nothing, {
      id: 7,
      name: "/c",
      created: false,
      deleted: false,
      createRevision: 0,
      prevRevision: 0,
      ttlSeconds: 0,
    });
  });
});
