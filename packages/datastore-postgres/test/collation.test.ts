import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { OpenStore } from "@k3s/datastore";
import { KINE_INDEXES, query, rangeOf, remove, until, WatchRecorder, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

/** Every database there orders text as English does: `a` beside `A`, and signs before digits. */
const database = TestDatabase.forFile(() => [], { icuLocale: "en-US" });

const OBJECTS = ["/registry/a/B", "/registry/a/b", "/registry/a/x"];
/** In English these stand between `/registry/a/` and `/registry/a0` as well: kine lists them with those above. */
const STRANGERS = ["/registry/A/x", "/registry/a~/x", "/registry/ä/x"];
const OTHERS = ["/registry/a-b/x", "/registry/a.b/x", "/registry/aB", "/registry/a0", "/registry/b/x"];
const KEYS = byBytes([...OTHERS, ...OBJECTS, ...STRANGERS].toReversed());
const REGISTRY = rangeOf("/registry/", "/registry0");
const BELOW_A = rangeOf("/registry/a/", "/registry/a0");

/** Of the first row with a key; below are marker and health key. */
const FIRST_ID = 3;

function byBytes(keys: readonly string[]): string[] {
  return keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

function table(name: string): string {
  return `CREATE TABLE kine (id BIGSERIAL PRIMARY KEY, name ${name}, created INTEGER, deleted INTEGER,
    create_revision BIGINT, prev_revision BIGINT, lease INTEGER, value bytea, old_value bytea)`;
}

function creation(id: number, name: string): string {
  return `INSERT INTO kine VALUES (${id}, '${name}', 1, 0, 0, 0, 0, 'v', NULL)`;
}

const { byName, others, unique } = KINE_INDEXES;
/** In an order that is none of the two. */
const ROWS = ["compact_rev_key", "/registry/health", ...KEYS.toReversed()].map((name, i) => creation(i + 1, name));

/** A database with a table as an old kine made it, whose names have the collation of the database. */
async function makeOldTable(t: TestContext, statements: readonly string[]): Promise<string> {
  const name = database.newName();
  await database.sql(t, name, ...statements, ...ROWS, `SELECT setval('kine_id_seq', ${ROWS.length})`);
  return name;
}

/** A database with a table of our own, with the same keys. */
async function makeNewTable(t: TestContext): Promise<string> {
  const name = database.newName();
  const store = await database.store(t, name);
  for (const key of KEYS.toReversed()) await store.txn(write(key, 0, "v"));
  await store.close();
  return name;
}

/** Names in the order in which the table has them, by a session of the test's own. */
async function select(t: TestContext, name: string, rest: string): Promise<string[]> {
  const rows = await database.sql(t, name, `SELECT name FROM kine WHERE id >= ${FIRST_ID} ${rest}`);
  return rows.map(([key]) => String(key));
}

async function keysOf(store: OpenStore, asked: Parameters<OpenStore["range"]>[0]): Promise<string[]> {
  return (await store.range(asked)).kvs.map(({ key }) => key.toString());
}

/** All keys of Kubernetes, in pages of two of one revision, as the API server asks for them. */
async function pagesOf(store: OpenStore): Promise<string[][]> {
  const pages: string[][] = [];
  const revision = store.currentRevision;
  for (let from = "/registry/"; ;) {
    const page = await store.range(query(rangeOf(from, "/registry0"), { limit: 2, revision }));
    const keys = page.kvs.map(({ key }) => key.toString());
    pages.push(keys);
    if (!page.more) return pages;
    from = `${String(keys.at(-1))}\0`;
  }
}

/** Everything that depends on an order of keys. The rows of {@link KEYS} begin at {@link FIRST_ID}. */
async function assertOrderedByBytes(t: TestContext, name: string): Promise<void> {
  const store = await database.store(t, name);
  const all = byBytes([...KEYS, "/registry/health"]);
  assert.deepEqual(await keysOf(store, query(REGISTRY)), all);
  assert.deepEqual(await keysOf(store, query(BELOW_A)), OBJECTS);
  assert.equal((await store.range(query(BELOW_A, { countOnly: true }))).count, OBJECTS.length);
  const pages = await pagesOf(store);
  assert.deepEqual(pages.flat(), all);
  assert.ok(pages.slice(0, -1).every((page) => page.length === 2));

  const seen = new WatchRecorder(store, BELOW_A, FIRST_ID);
  const modOf = async (key: string) => (await store.range(query(rangeOf(key)))).kvs[0]?.modRevision ?? 0;
  const old = store.currentRevision;
  for (const key of [...STRANGERS, ...OBJECTS]) await store.txn(write(key, await modOf(key), "w"));
  await store.txn(remove("/registry/A/x", await modOf("/registry/A/x")));
  await store.txn(remove("/registry/a/b", await modOf("/registry/a/b")));
  await seen.count(2 * OBJECTS.length + 1);
  assert.deepEqual(
    seen.events.map(({ type, kv }) => `${type} ${kv.key.toString()}`),
    [...OBJECTS.toReversed(), ...OBJECTS].map((key) => `put ${key}`).concat("delete /registry/a/b"),
  );
  assert.deepEqual(await keysOf(store, query(REGISTRY, { revision: old })), all);

  const { revision: end } = await store.txn(write("/registry/b/x", await modOf("/registry/b/x"), "w"));
  await store.compact(end);
  const left = all.filter((key) => key !== "/registry/A/x" && key !== "/registry/a/b");
  const client = await database.connect(t, name);
  await until("the superfluous rows are gone", async () => {
    const { rows } = await client.query<{ name: string }>("SELECT name FROM kine WHERE name LIKE '/registry/%'");
    return byBytes(rows.map(({ name: key }) => key)).join() === left.join();
  });
  assert.deepEqual(await keysOf(store, query(REGISTRY, { revision: end })), left);
}

describe("a database whose collation is not the order of bytes", () => {
  for (const [what, statements] of [
    ["kine v0.1: TEXT names, no unique index", [table("TEXT"), byName]],
    ["kine v0.11.5: VARCHAR names, all indexes", [table("VARCHAR(630)"), byName, ...others, unique]],
  ] as const)
    test(`D1 the names of ${what} are in that collation; we list, page, watch and compact by bytes`, async (t) => {
      const name = await makeOldTable(t, statements);
      const inTable = await select(t, name, "ORDER BY name");
      assert.deepEqual(byBytes(inTable), KEYS);
      assert.notDeepEqual(inTable, KEYS, "the table has them in the order of bytes");
      const listed = await select(t, name, "AND name >= '/registry/a/' AND name < '/registry/a0' ORDER BY name");
      assert.deepEqual(byBytes(listed), byBytes([...OBJECTS, ...STRANGERS]), "what a kine of then would list");
      await assertOrderedByBytes(t, name);
    });

  test("a new table has its names by bytes, as kine's has, and is taken over as it is", async (t) => {
    const name = await makeNewTable(t);
    assert.deepEqual(await select(t, name, "ORDER BY name"), KEYS);
    assert.notDeepEqual(await select(t, name, 'ORDER BY name COLLATE "default"'), KEYS, "so does the database");
    const listed = await select(t, name, "AND name >= '/registry/a/' AND name < '/registry/a0' ORDER BY name");
    assert.deepEqual(listed, OBJECTS, "what kine lists");
    await assertOrderedByBytes(t, name);
  });

  test("names that differ in letter case only are two, in an old table as well", async (t) => {
    const name = await makeOldTable(t, [table("VARCHAR(630)"), byName, ...others, unique]);
    const store = await database.store(t, name);
    await store.txn(write("/case/A", 0, "1"));
    await store.txn(write("/case/a", 0, "2"));
    assert.deepEqual(await keysOf(store, query(rangeOf("/case/", "/case0"))), ["/case/A", "/case/a"]);
  });
});
