import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { BulkDelete } from "../src/bulk-delete.ts";
import { tableTraits } from "../src/driver.ts";
import { Leases } from "../src/leases.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import { TxnWrites } from "../src/txn-writes.ts";
import { ValueCache } from "../src/value-cache.ts";
import { isLive, type Version } from "../src/version.ts";

const VALUE = Buffer.from("v");

/** An index that counts how often a key is looked up. */
class CountingIndex extends MvccIndex {
  lookups = 0;

  override newest(key: string): Version | undefined {
    this.lookups++;
    return super.newest(key);
  }
}

/** Leases 1 and 2, and what a committer does with the index: each write is a transaction of its own. */
function createRig() {
  const index = new CountingIndex();
  const log = createLogger({ level: "error", format: "text", write: () => undefined });
  const values = new ValueCache({ values: () => Promise.resolve([]) }, 1000, () => undefined);
  const signal = new AbortController().signal;
  const newLeases = () => {
    const leases = new Leases({ driver: { traits: tableTraits }, index, values, log, signal });
    for (const id of [1n, 2n]) leases.grant(id, 60);
    return leases;
  };
  const leases = newLeases();
  const write = (work: (writes: TxnWrites) => void) => {
    const writes = new TxnWrites(index, leases.book);
    work(writes);
    writes.seal();
  };
  const put = (key: string, lease = 0n) => write((writes) => writes.put({ key, value: VALUE, lease }));
  const remove = (key: string) => {
    const newest = index.newest(key);
    if (isLive(newest)) write((writes) => writes.delete(newest));
  };
  const commit = () => {
    index.commit(index.lastRow);
    leases.tidy();
  };
  const mark = () => ({ end: index.log.end, lastRow: index.lastRow });
  const takeBack = ({ end, lastRow }: ReturnType<typeof mark>) => index.rollback(end, lastRow);
  const size = (id: bigint) => leases.book.get(id)?.keys.size ?? assert.fail();
  /** Looks at all keys, and makes that worth it first. */
  const tidyAll = (id: bigint) => {
    for (let i = 0; i <= 2 * size(id) + 64; i++) leases.book.get(id)?.keys.noteLeft();
    put("tidy", id);
    leases.book.tidy(Infinity);
  };
  const has = (id: bigint, key: string) => [...(leases.book.get(id)?.keys ?? [])].includes(key);
  const deletion = () => {
    const parts = { index, values, leases: leases.book, traits: tableTraits };
    return new BulkDelete(parts, { from: "", to: undefined });
  };
  return { index, leases, newLeases, deletion, put, remove, commit, mark, takeBack, size, tidyAll, has };
}

describe("the keys of a lease", () => {
  test("are forgotten when they are deleted or moved, however many come and go", () => {
    const { put, remove, commit, size } = createRig();
    for (let i = 0; i < 20_000; i++) {
      put(`/k${i}`, 1n);
      if (i % 2 === 0) remove(`/k${i - 100}`);
      else put(`/k${i - 100}`, 2n);
      remove(`/k${i - 200}`);
      commit();
    }
    assert.ok(size(1n) <= 300, `lease 1 with 100 keys holds ${size(1n)}`);
    assert.ok(size(2n) <= 300, `lease 2 with 50 keys holds ${size(2n)}`);
  });

  test("are forgotten by later commits of others when a deletion of them all was one commit", () => {
    const { leases, put, remove, commit, size } = createRig();
    for (let i = 0; i < 5000; i++) put(`/k${i}`, 1n);
    commit();
    for (let i = 0; i < 5000; i++) {
      remove(`/k${i}`);
      leases.tidy(); // by the commit of what came before it
    }
    for (let i = 0; i < 10; i++) commit();
    assert.equal(size(1n), 0);
  });

  test("are forgotten when a bulk deletion took them", async () => {
    const { index, put, commit, deletion, size } = createRig();
    for (let i = 0; i < 5000; i++) put(`/k${i}`, 1n);
    for (let i = 0; i < 20; i++) commit(); // the puts are no reason to look any more
    const all = deletion();
    await all.prepare(index.lastRow);
    await all.show();
    for (let i = 0; i < 10; i++) commit();
    assert.equal(size(1n), 0);
  });

  test("are those that are left, when all changes are read from disk", () => {
    const { index, newLeases, put, commit } = createRig();
    for (let i = 0; i < 5000; i++) {
      put(`/k${i}`, 1n);
      if (i % 10 > 0) put(`/k${i}`, 2n);
    }
    commit();
    const leases = newLeases();
    leases.attach(Array.from({ length: index.log.end }, (_, at) => index.log.at(at) ?? assert.fail()));
    const sizes = leases.book.all().map(({ keys }) => keys.size);
    assert.deepEqual(sizes, [500, 4500]);
  });

  test("are forgotten when the puts that attached them were taken back", () => {
    const { put, commit, mark, takeBack, size } = createRig();
    for (let i = 0; i < 5000; i++) {
      const before = mark();
      put(`/k${i}`, 1n);
      takeBack(before);
      commit();
    }
    assert.ok(size(1n) < 100, `a lease without keys holds ${size(1n)}`);
  });

  test("are looked at a few per commit, and seldom while none leaves", () => {
    const { index, put, commit, size } = createRig();
    let most = 0;
    for (let i = 0; i < 20_000; i++) {
      const before = index.lookups;
      put(`/k${i}`, 1n);
      commit();
      most = Math.max(most, index.lookups - before);
    }
    assert.equal(size(1n), 20_000);
    assert.ok(most <= 1001, `looked up ${most} keys at once`);
    assert.ok(index.lookups < 100_000, `looked up ${index.lookups} keys`);
  });

  test("stay while the deletion that removes them can be taken back", () => {
    const { put, remove, commit, mark, takeBack, tidyAll, has } = createRig();
    put("/a", 1n);
    put("/b", 1n);
    commit();
    const durable = mark();
    remove("/a");
    put("/b", 2n);
    tidyAll(1n);
    takeBack(durable);
    assert.deepEqual([has(1n, "/a"), has(1n, "/b")], [true, true]);
  });

  test("stay while a plan may be given up that is made on top of the put that is not durable yet", () => {
    const { put, commit, mark, takeBack, tidyAll, has } = createRig();
    put("/a");
    commit();
    put("/a", 1n);
    const planned = mark();
    put("/a", 2n);
    tidyAll(1n);
    takeBack(planned);
    commit();
    tidyAll(1n);
    assert.ok(has(1n, "/a"));
  });

  test("are all there whatever is put, deleted, committed and taken back in between", () => {
    const { index, leases, put, remove, commit, mark, takeBack, size } = createRig();
    let seed = 7;
    const below = (limit: number) => (seed = (seed * 48_271) % 2_147_483_647) % limit;
    const key = () => `/k${below(300)}`;
    let marks = [mark()];
    const steps = [
      ...Array.from({ length: 10 }, () => () => put(key(), BigInt(below(3)))),
      ...Array.from({ length: 6 }, () => () => remove(key())),
      () => marks.push(mark()),
      () => leases.book.tidy(below(200)),
      () => {
        takeBack(marks.splice(below(marks.length))[0] ?? assert.fail());
        marks.push(mark());
      },
      () => {
        commit();
        marks = [mark()];
      },
    ];
    for (let i = 0; i < 30_000; i++) {
      steps[below(steps.length)]?.();
      if (i % 10 > 0) continue;
      const live = index.scan({ from: "", to: undefined, revision: Infinity, limit: Infinity });
      for (const id of [1n, 2n]) {
        const keys = new Set(leases.book.get(id)?.keys);
        assert.deepEqual(
          live.filter((version) => version.lease === id && !keys.has(version.key)),
          [],
        );
      }
    }
    for (let i = 0; i < 1000; i++) put(`/k${i % 300}`);
    for (let i = 0; i < 10; i++) commit();
    assert.ok(size(1n) + size(2n) < 128, `leases without keys hold ${size(1n)} and ${size(2n)}`);
  });
});

test("Leases: a grant and a renewal look up no key", () => {
  const { index, leases, put, commit } = createRig();
  for (let i = 0; i < 100; i++) put(`/k${i}`, 1n);
  commit();
  const before = index.lookups;
  leases.renew(1n);
  leases.grant(3n, 60);
  assert.equal(index.lookups - before, 0);
  assert.equal(leases.describe(1n).keys.length, 100);
});
