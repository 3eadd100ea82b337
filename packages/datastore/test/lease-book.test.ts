import assert from "node:assert/strict";
import { describe, test } from "node:test";
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
