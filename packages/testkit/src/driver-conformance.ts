import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test, type TestContext } from "node:test";
import { DriverError, type CommitBatch, type Driver, type DriverErrorKind, type NewRow } from "@k3s/datastore";

/** Opens a driver on a new, empty database. Opening the same test's database again shows what became durable. */
export type OpenDriver = (t: TestContext) => Promise<Driver>;

const nothing: CommitBatch = {
  after: 0,
  rows: [],
  spans: [],
  leases: [],
  endedLeases: [],
  rowLeases: [],
  compactRevision: undefined,
};

function row(id: number, name: string, more: Partial<NewRow> = {}): NewRow {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, ...plain, value: Buffer.from(`value ${id}`), ...more };
}

const kind = (expected: DriverErrorKind) => (error: unknown) => error instanceof DriverError && error.kind === expected;

/** The contract of Driver, as tests. Every driver package calls this with a real database. */
export function driverConformance(label: string, open: OpenDriver): void {
  describe(`Driver: ${label}`, () => {
    test("heads() gives rows in id order, strictly after a position, up to a limit", async (t) => {
      const driver = await open(t);
      assert.deepEqual(await driver.heads(0, 10), []);
      const rows = [row(1, "/a"), row(2, "/b", { ttlSeconds: 60 }), row(4, "/c"), row(5, "/d")];
      await driver.commit({ ...nothing, rows });
      const heads = await driver.heads(1, 2);
      assert.deepEqual(
        heads.map(({ id, name }) => [id, name]),
        [
          [2, "/b"],
          [4, "/c"],
        ],
      );
      const { lease: _lease, value: _value, ...head } = row(2, "/b", { ttlSeconds: 60 });
      assert.deepEqual(heads[0], head);
    });

    test("values() answers in the order asked: empty for NULL, undefined for no row", async (t) => {
      const driver = await open(t);
      const big = Buffer.alloc(100_000, "x");
      const tombstone = row(4, "/d", { created: false, deleted: true, value: undefined });
      const rows = [row(1, "/a"), row(2, "/b", { value: Buffer.alloc(0) }), row(3, "/c", { value: big }), tombstone];
      await driver.commit({ ...nothing, rows });
      const values = await driver.values([4, 3, 99, 1, 2]);
      assert.deepEqual(
        values.map((value) => value?.length),
        [0, 100_000, undefined, 7, 0],
      );
      assert.deepEqual([values[1]?.equals(big), values[3]?.toString()], [true, "value 1"]);
      assert.deepEqual(await driver.values([]), []);
    });

    const conflicts = [
      { name: "an id", rows: [row(3, "/x"), row(2, "/y")] },
      { name: "a name with the same predecessor", rows: [row(3, "/x"), row(4, "/a")] },
    ];
    for (const { name, rows } of conflicts) {
      test(`commit() refuses ${name} that exists, and then writes nothing at all`, async (t) => {
        const driver = await open(t);
        await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b")] });
        const lease = { id: 9n, ttlSeconds: 60, expiresAtMs: 1 };
        await assert.rejects(driver.commit({ ...nothing, after: 2, rows, leases: [lease] }), kind("conflict"));
        assert.deepEqual(
          (await driver.heads(0, 10)).map(({ id }) => id),
          [1, 2],
        );
        assert.deepEqual((await driver.side()).leases, []);
        await driver.commit({ ...nothing, after: 2, rows: [row(3, "/x")] });
      });
    }

    test("side() gives leases with 64-bit ids, the leases of rows, and spans", async (t) => {
      const driver = await open(t);
      const id = 0x7fff_ffff_ffff_ffffn;
      const lease = { id, ttlSeconds: 9_000_000_000, expiresAtMs: 1_800_000_000_000 };
      const other = { id: 5n, ttlSeconds: 60, expiresAtMs: 7 };
      const rows = [row(1, "/a", { lease: id }), row(2, "/b"), row(3, "/c")];
      await driver.commit({ ...nothing, rows, leases: [lease, other], spans: [{ first: 2, last: 3 }] });
      await driver.commit({
        ...nothing,
        after: 3,
        leases: [{ ...lease, expiresAtMs: 8 }],
        endedLeases: [5n],
        rowLeases: [[2, id]],
      });
      const side = await driver.side();
      assert.deepEqual(side.leases, [{ ...lease, expiresAtMs: 8 }]);
      assert.deepEqual(
        [...side.rowLeases],
        [
          [1, id],
          [2, id],
        ],
      );
      assert.deepEqual(side.spans, [{ first: 2, last: 3 }]);
    });

    test("commit() moves the compaction marker forward only", async (t) => {
      const driver = await open(t);
      await driver.commit({ ...nothing, rows: [row(1, "compact_rev_key")] });
      for (const compactRevision of [7, 5]) await driver.commit({ ...nothing, compactRevision });
      assert.deepEqual(
        (await driver.heads(0, 1)).map(({ prevRevision }) => prevRevision),
        [7],
      );
    });

    test("prune() removes rows with their leases, and spans without rows", async (t) => {
      const driver = await open(t);
      const rows = [1, 2, 3, 4].map((id) => row(id, `/${id}`, { lease: 5n }));
      await driver.commit({
        ...nothing,
        leases: [{ id: 5n, ttlSeconds: 1, expiresAtMs: 1 }],
        rows,
        spans: [
          { first: 1, last: 2 },
          { first: 3, last: 4 },
        ],
      });
      await driver.prune({ rows: [1, 2, 3, 99], spansUpTo: 4 });
      const side = await driver.side();
      assert.deepEqual(
        (await driver.heads(0, 10)).map(({ id }) => id),
        [4],
      );
      assert.deepEqual([[...side.rowLeases.keys()], side.spans], [[4], [{ first: 3, last: 4 }]]);
    });

    test("commits asked at once take effect in order, with one prepared id after the other", async (t) => {
      const driver = await open(t);
      const ids = Array.from({ length: 200 }, (_, i) => i + 1);
      await Promise.all(ids.map((id) => driver.commit({ ...nothing, after: id - 1, rows: [row(id, `/${id}`)] })));
      assert.deepEqual(
        (await driver.heads(0, 1000)).map(({ id }) => id),
        ids,
      );
    });

    test("takes ids beyond 32 bits without loss", async (t) => {
      const driver = await open(t);
      const id = 2 ** 40 + 1;
      await driver.commit({
        ...nothing,
        rows: [row(id, "/a"), row(id + 1, "/a", { created: false, prevRevision: id })],
      });
      assert.deepEqual(
        (await driver.heads(2 ** 33, 10)).map((head) => [head.id, head.prevRevision]),
        [
          [id, 0],
          [id + 1, id],
        ],
      );
    });

    test("size() shows what is used, defragment() gives the rest back", async (t) => {
      const driver = await open(t);
      const value = randomBytes(10_000); // a database may compress
      const rows = Array.from({ length: 300 }, (_, i) => row(i + 1, `/${i}`, { value }));
      await driver.commit({ ...nothing, rows });
      const full = await driver.size();
      await driver.prune({ rows: rows.map(({ id }) => id), spansUpTo: 0 });
      await driver.defragment();
      const empty = await driver.size();
      assert.ok(full.inUseBytes > 3_000_000 && full.inUseBytes <= full.totalBytes);
      assert.ok(empty.totalBytes < 300_000, `still ${empty.totalBytes} bytes`);
    });

    test("close() may be called twice, and what comes after is refused", async (t) => {
      const driver = await open(t);
      await Promise.all([driver.close(), driver.close()]);
      await assert.rejects(driver.heads(0, 1), kind("failed"));
      await assert.rejects(driver.commit({ ...nothing, rows: [row(1, "/a")] }), kind("failed"));
    });
  });
}
