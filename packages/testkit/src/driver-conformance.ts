import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test, type TestContext } from "node:test";
import { isDeepStrictEqual } from "node:util";
import {
  DriverError,
  emptyBatch as nothing,
  type Driver,
  type DriverErrorKind,
  type LeaseRecord,
  type NewRow,
  type RowHead,
} from "@k3s/datastore";

/** Opens a driver on a new, empty database. Opening the same test's database again shows what became durable. */
export type OpenDriver = (t: TestContext) => Promise<Driver>;

function row(id: number, name: string, more: Partial<NewRow> = {}): NewRow {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, ...plain, value: Buffer.from(`value ${id}`), ...more };
}

/** etcd's --max-request-bytes. */
const ETCD_REQUEST_BYTES = 1.5 * 1024 * 1024;

/** More than any driver writes in one piece. */
const LARGE_ROWS = 20_000;

const kind = (expected: DriverErrorKind) => (error: unknown) => error instanceof DriverError && error.kind === expected;

/** The ids that the database takes for rows of these; a database that counts leaves no holes. */
function idsFor(driver: Driver, wanted: readonly number[]): readonly number[] {
  return driver.traits.ids === "any" ? wanted : wanted.map((_, i) => i + 1);
}

const idsOf = (rows: readonly { readonly id: number }[]) => rows.map(({ id }) => id);

/** Rows of keys that are created, changed and deleted, from an id on. */
function lives(from: number, names: readonly string[], value: Buffer): NewRow[] {
  return names.flatMap((name, i) => {
    const id = from + 3 * i;
    const later = { created: false, createRevision: id };
    return [
      row(id, name, { value }),
      row(id + 1, name, { ...later, prevRevision: id, value }),
      row(id + 2, name, { ...later, deleted: true, prevRevision: id + 1, value: undefined }),
    ];
  });
}

function headOf(written: NewRow | undefined): RowHead | undefined {
  if (written === undefined) return undefined;
  const { lease: _lease, value: _value, ...head } = written;
  return head;
}

/** Deletions of the keys that rows 1, 2, … created, from the id after `after` on. */
function tombstones(after: number, names: readonly string[]): NewRow[] {
  const dead = { created: false, deleted: true, value: undefined };
  return names.map((name, i) => row(after + 1 + i, name, { ...dead, createRevision: 0, prevRevision: i + 1 }));
}

/** The contract of Driver, as tests. Every driver package calls this with a real database. Where a database differs, its traits say so. */
export function driverConformance(label: string, open: OpenDriver): void {
  describe(`Driver: ${label}`, () => {
    test("heads() gives rows in id order, strictly after a position, up to a limit", async (t) => {
      const driver = await open(t);
      assert.deepEqual(await driver.heads(0, 10), []);
      const [a = 0, b = 0, c = 0, d = 0] = idsFor(driver, [1, 2, 4, 5]);
      const rows = [row(a, "/a"), row(b, "/b", { ttlSeconds: 60 }), row(c, "/c"), row(d, "/d")];
      await driver.commit({ ...nothing, rows });
      const heads = await driver.heads(1, 2);
      assert.deepEqual(
        heads.map(({ id, name }) => [id, name]),
        [
          [b, "/b"],
          [c, "/c"],
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
      { name: "an id", after: 2, rows: [row(3, "/x"), row(2, "/y")], by: "ids" },
      { name: "a name with the same predecessor", after: 2, rows: [row(3, "/x"), row(4, "/a")], by: "names" },
      { name: "the last row", after: 1, rows: [row(2, "/x"), row(3, "/y"), row(4, "/z")], by: "last" },
      { name: "a row behind the planned one", after: 1, rows: [row(3, "/x"), row(4, "/y")], by: "last" },
    ] as const;
    for (const { name, after, rows, by } of conflicts) {
      test(`commit() refuses ${name} that exists, and then writes nothing at all`, async (t) => {
        const driver = await open(t);
        await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b")] });
        const lease = { id: 9n, ttlSeconds: 60, expiresAtMs: 1 };
        // Every database knows one conflict, with the last row: what it does not know besides is planned on an older one.
        const { ids, guardsNames } = driver.traits;
        const isKnown = { ids: ids === "any", names: guardsNames, last: ids === "any" || rows[0].id === after + 1 }[by];
        const planned = isKnown ? after : 1;
        const batch = isKnown ? rows : rows.map((other, i) => ({ ...other, id: planned + 1 + i }));
        await assert.rejects(
          driver.commit({ ...nothing, after: planned, rows: batch, leases: [lease] }),
          kind("conflict"),
        );
        assert.deepEqual(idsOf(await driver.heads(0, 10)), [1, 2]);
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
        leases: [{ ...lease, expiresAtMs: 1_800_000_000_008 }],
        endedLeases: [5n],
        rowLeases: [[2, id]],
      });
      const side = await driver.side();
      assert.deepEqual(side.leases, [{ ...lease, expiresAtMs: 1_800_000_000_008 }]);
      assert.deepEqual(
        [...side.rowLeases],
        [
          [1, id],
          [2, id],
        ],
      );
      assert.deepEqual(side.spans, [{ first: 2, last: 3 }]);
    });

    test("rows in a transaction name leases with negative ids, which are stored as well", async (t) => {
      const driver = await open(t);
      const [few, least] = [-5n, -(2n ** 63n)];
      const leases = [few, least].map((id) => ({ id, ttlSeconds: 60, expiresAtMs: 7 }));
      const spans = [{ first: 1, last: 2 }];
      await driver.commit({ ...nothing, leases });
      await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b", { lease: few })], spans });
      await driver.commit({ ...nothing, after: 2, rowLeases: [[1, least]] });
      const side = await driver.side();
      assert.deepEqual(idsOf(await driver.heads(0, 10)), [1, 2]);
      assert.deepEqual(new Set(side.leases), new Set(leases));
      assert.deepEqual([side.rowLeases.get(1), side.rowLeases.get(2), side.spans], [least, few, spans]);
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
      const value = Buffer.from("x");
      const dead = lives(1, ["/a", "/b"], value).map((life) => (life.deleted ? life : { ...life, lease: 5n }));
      const rows = [...dead, ...[7, 8].map((id) => row(id, `/${id}`, { lease: 5n }))];
      const leases = [{ id: 5n, ttlSeconds: 1, expiresAtMs: 1 }];
      const spans = [2, 5, 7].map((first) => ({ first, last: first + 1 }));
      await driver.commit({ ...nothing, leases, rows, spans });
      await driver.prune({ rows: [...idsOf(dead), 99], spansUpTo: 8 });
      const side = await driver.side();
      assert.deepEqual(idsOf(await driver.heads(0, 10)).slice(-2), [7, 8]);
      assert.deepEqual(
        (await driver.heads(0, 10)).filter(({ name }) => name.length === 2 && /[ab]/.test(name)),
        [],
      );
      assert.deepEqual([[...side.rowLeases.keys()], side.spans], [[7, 8], [{ first: 7, last: 8 }]]);
    });

    test("prune() removes what was replaced, or leaves it for the next load", async (t) => {
      const driver = await open(t);
      const update = { created: false, createRevision: 1 };
      const rows = [
        row(1, "/a"),
        row(2, "/a", { ...update, prevRevision: 1 }),
        row(3, "/a", { ...update, prevRevision: 2 }),
      ];
      await driver.commit({ ...nothing, rows });
      await driver.prune({ rows: [1, 2], spansUpTo: 0 });
      const left = driver.traits.prunes === "every-row" ? [3] : [1, 2, 3];
      assert.deepEqual(idsOf(await driver.heads(0, 10)), left);
      assert.equal((await driver.values([3]))[0]?.toString(), "value 3");
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

    test("commit() takes a transaction of any size as one, and refuses it as one", async (t) => {
      const driver = await open(t);
      const names = Array.from({ length: LARGE_ROWS }, (_, i) => `/large/${i}`);
      const value = Buffer.alloc(100, "v");
      await driver.commit({ ...nothing, rows: names.map((name, i) => row(i + 1, name, { value })) });
      const deletion = tombstones(LARGE_ROWS, names);
      const late = { after: LARGE_ROWS - 1, rows: deletion.map((dead) => ({ ...dead, id: dead.id - 1 })) };
      await assert.rejects(driver.commit({ ...nothing, ...late }), kind("conflict"));
      assert.deepEqual(await driver.heads(LARGE_ROWS, 1), []);
      const span = { first: LARGE_ROWS + 1, last: 2 * LARGE_ROWS };
      await driver.commit({ ...nothing, after: LARGE_ROWS, rows: deletion, spans: [span] });
      const heads = await driver.heads(LARGE_ROWS, LARGE_ROWS + 1);
      assert.equal(heads.length, LARGE_ROWS);
      // Told of the first that differs: what assert shows of as many takes minutes.
      const wrong = heads.findIndex((head, i) => !isDeepStrictEqual(head, headOf(deletion[i])));
      assert.deepEqual(heads[wrong], headOf(deletion[wrong]));
      assert.deepEqual((await driver.side()).spans, [span]);
      assert.equal((await driver.values([LARGE_ROWS]))[0]?.equals(value), true);
    });

    test("takes ids beyond 32 bits without loss, or none but the next ones", async (t) => {
      const driver = await open(t);
      const id = 2 ** 40 + 1;
      const rows = [row(id, "/a"), row(id + 1, "/a", { created: false, prevRevision: id })];
      if (driver.traits.ids === "consecutive") {
        await assert.rejects(driver.commit({ ...nothing, rows }), kind("failed"));
        assert.deepEqual(await driver.heads(0, 10), []);
        return;
      }
      await driver.commit({ ...nothing, rows });
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
      const names = Array.from({ length: 150 }, (_, i) => `/${i}`);
      const rows = lives(1, names, value);
      await driver.commit({ ...nothing, rows });
      await driver.commit({ ...nothing, after: rows.length, rows: [row(rows.length + 1, "/last")] });
      const full = await driver.size();
      await driver.prune({ rows: idsOf(rows), spansUpTo: 0 });
      await driver.defragment();
      const empty = await driver.size();
      assert.ok(full.inUseBytes > 3_000_000 && full.inUseBytes <= full.totalBytes);
      assert.ok(empty.totalBytes < 300_000, `still ${empty.totalBytes} bytes`);
    });

    test("refusal() lets through what commit() can write, up to the largest request of etcd", async (t) => {
      const driver = await open(t);
      const isHeld = (bytes: number) => driver.refusal?.("/large", bytes) === undefined;
      let [held, refused] = [0, ETCD_REQUEST_BYTES + 1];
      while (refused - held > 1) {
        const middle = Math.floor((held + refused) / 2);
        if (isHeld(middle)) held = middle;
        else refused = middle;
      }
      assert.ok(held > 700_000, `holds no more than ${held} bytes`);
      const value = randomBytes(held);
      await driver.commit({ ...nothing, rows: [row(1, "/large", { value })] });
      assert.equal((await driver.values([1]))[0]?.equals(value), true);
    });

    test("close() may be called twice, and what comes after is refused", async (t) => {
      const driver = await open(t);
      await Promise.all([driver.close(), driver.close()]);
      await assert.rejects(driver.heads(0, 1), kind("failed"));
      await assert.rejects(driver.commit({ ...nothing, rows: [row(1, "/a")] }), kind("failed"));
    });
  });
  describe(`SharedDatabase: ${label}`, () => sharedConformance(open));
}

/** Without effect on a database that belongs to one server. */
function sharedConformance(open: OpenDriver): void {
  test("position() and changes() tell what is committed, with values, leases and whole spans", async (t) => {
    const driver = await open(t);
    const { shared } = driver;
    if (shared === undefined) return;
    assert.deepEqual(await shared.position(), { lastRow: 0, compactRevision: 0 });
    assert.deepEqual((await shared.changes(0, 10)).rows, []);
    const leases = [{ id: 5n, ttlSeconds: 60, expiresAtMs: 7 }];
    const rows = [row(1, "/a", { lease: 5n }), row(2, "/b"), row(3, "/c"), row(4, "/d")];
    await driver.commit({ ...nothing, leases });
    await driver.commit({ ...nothing, rows, spans: [{ first: 2, last: 4 }] });
    assert.deepEqual([(await shared.position()).lastRow, await shared.leases()], [4, leases]);
    const { spans, ...changes } = await shared.changes(0, 2);
    assert.deepEqual(
      changes.rows.map(({ id, name, lease, value }) => [id, name, lease, value?.toString()]),
      rows.map(({ id, name, lease, value }) => [id, name, lease, value?.toString()]).slice(0, changes.rows.length),
    );
    assert.ok(changes.rows.length === 1 || changes.rows.length === 4, `a part of a span: ${changes.rows.length} rows`);
    assert.deepEqual([spans, changes.completeFrom ?? 0], [changes.rows.length === 1 ? [] : [{ first: 2, last: 4 }], 0]);
  });

  test("commit() is a conflict on a stale last row, and for a row whose lease is not there", async (t) => {
    const driver = await open(t);
    if (driver.shared === undefined) return;
    await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b")] });
    const update = row(3, "/a", { created: false, createRevision: 1, prevRevision: 1 });
    await assert.rejects(driver.commit({ ...nothing, after: 1, rows: [{ ...update, id: 2 }] }), kind("conflict"));
    await assert.rejects(driver.commit({ ...nothing, after: 1, endedLeases: [5n] }), kind("conflict"));
    await assert.rejects(driver.commit({ ...nothing, after: 2, rows: [{ ...update, lease: 5n }] }), kind("conflict"));
    await driver.commit({ ...nothing, after: 2, rows: [update] });
    assert.equal((await driver.shared.position()).lastRow, 3);
  });

  test("commit() is a conflict when a lease that it renews or ends is not there", async (t) => {
    const driver = await open(t);
    if (driver.shared === undefined) return;
    const lease = { id: 5n, ttlSeconds: 60, expiresAtMs: 7 };
    const renewal = { ...nothing, leases: [{ ...lease, expiresAtMs: 9 }], requiredLeases: [5n] };
    const end = { ...nothing, endedLeases: [5n], requiredLeases: [5n] };
    for (const batch of [renewal, end]) await assert.rejects(driver.commit(batch), kind("conflict"));
    assert.deepEqual(await driver.shared.leases(), []);
    await driver.commit({ ...nothing, leases: [lease] });
    await driver.commit(renewal);
    assert.deepEqual(await driver.shared.leases(), renewal.leases);
    await driver.commit(end);
    const { lastRow: after } = await driver.shared.position();
    await driver.shared.changes(0, 10);
    for (const batch of [renewal, end]) await assert.rejects(driver.commit({ ...batch, after }), kind("conflict"));
    assert.deepEqual(await driver.shared.leases(), []);
  });

  test("commit() is a conflict when a lease that was found due has been renewed, and ends it when not", async (t) => {
    const driver = await open(t);
    if (driver.shared === undefined) return;
    const stored = (id: bigint, expiresAtMs: number) => ({ id, ttlSeconds: 60, expiresAtMs });
    const end = (leases: readonly LeaseRecord[], after: number) => {
      const ids = leases.map(({ id }) => id);
      const rows = ids.map((id, i) => row(after + i + 1, `/of-${id}`));
      return { ...nothing, after, rows, endedLeases: ids, requiredLeases: ids, dueLeases: leases };
    };
    await driver.commit({ ...nothing, leases: [stored(5n, 7), stored(6n, 7), stored(8n, 7)] });
    await driver.commit({ ...nothing, leases: [stored(5n, 9)], requiredLeases: [5n] });
    await assert.rejects(driver.commit(end([stored(5n, 7)], 0)), kind("conflict"));
    assert.equal((await driver.shared.position()).lastRow, 0);
    await driver.commit(end([stored(5n, 9)], 0));
    const { lastRow } = await driver.shared.position();
    await driver.shared.changes(0, 10);
    const expiry = { ...end([stored(6n, 7)], lastRow), rows: [] };
    await assert.rejects(driver.commit({ ...expiry, after: lastRow - 1 }), kind("conflict"));
    await driver.commit(expiry); // the same: nobody has renewed it in between
    assert.deepEqual(await driver.shared.leases(), [stored(8n, 7)]);
  });

  test("claim() lets the own commit through, and can be given back before or after", async (t) => {
    const driver = await open(t);
    if (driver.shared === undefined) return;
    const first = await driver.shared.claim("servers");
    await driver.commit({ ...nothing, rows: [row(1, "/a")] });
    await first.release();
    const second = await driver.shared.claim("servers");
    await second.release();
    await driver.commit({ ...nothing, after: 1, rows: [row(2, "/b")] });
  });

  test("clockMs() is one clock that goes on, for all servers", async (t) => {
    const drivers = [await open(t), await open(t)];
    const told: number[] = [];
    for (const driver of [...drivers, ...drivers])
      if (driver.shared !== undefined) told.push(await driver.shared.clockMs());
    assert.deepEqual(
      told,
      told.toSorted((a, b) => a - b),
    );
    for (const ms of told) assert.ok(ms > Date.UTC(2020), `${ms} ms since the epoch`);
  });
}
