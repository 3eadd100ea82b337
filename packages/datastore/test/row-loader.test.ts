import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@k3s/log";
import type { Driver, RowHead } from "../src/driver.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import { RowLoader } from "../src/row-loader.ts";

const silent = createLogger({ level: "error", format: "json", write: () => undefined });
const PAGE_ROWS = 4000;

function head(id: number): RowHead {
  const numbers = { createRevision: 0, prevRevision: 0, ttlSeconds: 0 };
  return { id, name: `/key-${id}`, created: true, deleted: false, ...numbers };
}

/** A table of so many rows, whose page behind `failsAfter` fails once. `asked` holds where the pages began. */
function table(rows: number, failsAfter?: number) {
  const asked: number[] = [];
  const heads: Driver["heads"] = (after, limit) => {
    asked.push(after);
    const isFailing = after === failsAfter && asked.filter((at) => at === after).length === 1;
    if (isFailing) return Promise.reject(new Error("away"));
    const count = Math.max(0, Math.min(limit, rows - after));
    return Promise.resolve(Array.from({ length: count }, (_, i) => head(after + 1 + i)));
  };
  const side: Driver["side"] = () => Promise.resolve({ leases: [], rowLeases: new Map(), spans: [] });
  // sound: the loader asks nothing else of one that is not shared
  return { asked, driver: { heads, side, values: () => Promise.resolve([]) } as unknown as Driver };
}

test("RowLoader: reads each page once, and the next while one is put into the index", async () => {
  for (const rows of [0, 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS]) {
    const { asked, driver } = table(rows);
    const index = new MvccIndex();
    assert.equal((await new RowLoader(driver, index, silent).load()).versions.length, rows);
    assert.equal(index.lastRow, rows);
    assert.deepEqual(
      asked,
      Array.from({ length: Math.floor(rows / PAGE_ROWS) + 1 }, (_, i) => i * PAGE_ROWS),
    );
  }
});

test("RowLoader: goes on where it was after a page that could not be read", async () => {
  const { asked, driver } = table(PAGE_ROWS + 10, PAGE_ROWS);
  const index = new MvccIndex();
  const loader = new RowLoader(driver, index, silent);
  await assert.rejects(loader.read(), /away/);
  assert.equal(index.lastRow, PAGE_ROWS);
  assert.equal((await loader.read()).versions.length, PAGE_ROWS + 10);
  assert.deepEqual(asked, [0, PAGE_ROWS, PAGE_ROWS]);
});

test("RowLoader: leaves a page alone that lies beyond what it was to read", async () => {
  const { driver } = table(2 * PAGE_ROWS, PAGE_ROWS);
  const shared = { position: () => Promise.resolve({ lastRow: 5, compactRevision: 0 }) };
  const index = new MvccIndex();
  const { versions } = await new RowLoader({ ...driver, shared } as unknown as Driver, index, silent).read();
  assert.equal(versions.length, 5);
});

test("RowLoader: a key whose lease of its row is not stored is one without a lease, others keep what they have", async () => {
  const { driver } = table(3);
  const own = (0x6bn << 56n) + 1n;
  const lost = (0x6bn << 56n) + 2n;
  const side: Driver["side"] = () =>
    Promise.resolve({
      leases: [{ id: own, ttlSeconds: 60, expiresAtMs: 1 }],
      rowLeases: new Map([
        [1, own],
        [2, lost],
        [3, 5n],
      ]),
      spans: [],
    });
  const heads: Driver["heads"] = async (after, limit) =>
    (await driver.heads(after, limit)).map((row) => ({ ...row, ttlSeconds: 60 }));
  const { versions, unleased } = await new RowLoader({ ...driver, heads, side }, new MvccIndex(), silent).load();
  assert.deepEqual(
    versions.map(({ lease }) => lease),
    [own, 0n, 5n],
  );
  assert.deepEqual(
    unleased.map(({ version }) => version.row),
    [2],
  );
});

test("RowLoader: warns once of rows that create what existed, and of no other ones", async () => {
  const { driver } = table(0);
  const rows = ["/a", "/a", "/b", "/a", "/c", "/c", "/c"].map((name, i) => ({ ...head(i + 1), name }));
  const warningsOf = async (heads: readonly RowHead[]) => {
    const lines: string[] = [];
    const log = createLogger({ level: "warn", format: "json", write: (line) => void lines.push(line) });
    const page: Driver["heads"] = (after) => Promise.resolve(heads.filter(({ id }) => id > after));
    await new RowLoader({ ...driver, heads: page }, new MvccIndex(), log).load();
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const [warning, ...more] = await warningsOf(rows);
  assert.deepEqual([warning?.["rows"], warning?.["cure"], more], [4, "k3s datastore check", []]);
  const sound = rows.map((row, i) => (i % 2 === 1 ? { ...row, created: false, deleted: true } : row));
  assert.deepEqual(await warningsOf(sound.filter(({ name }) => name !== "/a").concat(head(8))), []);
});
