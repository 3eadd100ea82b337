import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ENDING_MS } from "../src/driver.ts";
import { EndClock } from "../src/end-clock.ts";
import { LeaseBook, startLease } from "../src/lease-book.ts";
import { MvccIndex } from "../src/mvcc-index.ts";

/** A book with leases of these numbers, a minute each. */
function bookOf(...ids: readonly bigint[]) {
  const clock = new EndClock(undefined);
  const book = new LeaseBook(clock, new MvccIndex(), () => undefined);
  const records = ids.map((id) => {
    const { lease, record } = startLease(clock, { id, ttlSeconds: 60 });
    book.set(lease);
    return record;
  });
  /** Renewed, with an end that no earlier one has. */
  const renew = (id: bigint) => {
    const lease = book.get(id) ?? assert.fail();
    book.set({ ...lease, expiresAtMs: lease.expiresAtMs + 1000 });
    return lease.expiresAtMs + 1000;
  };
  return { book, records, renew };
}

describe("LeaseBook.update()", () => {
  test("does not take back what was renewed, granted or ended here since the records were asked for", () => {
    const { book, records, renew } = bookOf(1n, 2n);
    const known = book.all();
    const end = renew(1n);
    book.delete(2n);
    const { book: granted } = bookOf(3n);
    book.set(granted.get(3n) ?? assert.fail());
    book.update(known, records);
    assert.deepEqual([book.get(1n)?.expiresAtMs, book.ids()], [end, [1n, 3n]]);
  });

  test("takes over what other servers renewed, granted or ended", () => {
    const { book, records } = bookOf(1n, 2n);
    const [first] = records;
    const expiresAtMs = (first?.expiresAtMs ?? 0) + 5000;
    book.update(book.all(), [
      { id: 1n, ttlSeconds: 60, expiresAtMs },
      { id: 3n, ttlSeconds: 60, expiresAtMs },
    ]);
    assert.deepEqual([book.get(1n)?.expiresAtMs, book.ids()], [expiresAtMs, [1n, 3n]]);
  });
});

describe("a stored end that is over", () => {
  const over = (id: bigint, ttlSeconds: number, ageMs = 60_000) => ({
    id,
    ttlSeconds,
    expiresAtMs: Date.now() - ageMs,
  });
  const newBook = () => new LeaseBook(new EndClock(undefined), new MvccIndex(), () => undefined);
  const dueIn = (book: LeaseBook, ms: number) => book.due(performance.now() + ms).map(({ id }) => id);

  test("is due at once where the book is loaded", () => {
    const book = newBook();
    book.sync([over(1n, 60)]);
    assert.deepEqual(dueIn(book, 0), [1n]);
  });

  test("is not where another server has stored it since, by a clock that was set forward after that", () => {
    const book = newBook();
    book.sync([over(1n, 60, -60_000)]);
    book.update(book.all(), [over(1n, 60), over(2n, 3)]);
    assert.deepEqual(dueIn(book, 2000), []);
    assert.deepEqual(dueIn(book, 5000), [2n]);
    assert.deepEqual(dueIn(book, 12_000), [1n, 2n]);
  });

  test("is due at once where another server has begun to end the lease", () => {
    const book = newBook();
    book.sync([over(1n, 60, -60_000)]);
    book.update(book.all(), [{ id: 1n, ttlSeconds: 60, expiresAtMs: ENDING_MS }]);
    assert.deepEqual(dueIn(book, 0), [1n]);
  });
});
