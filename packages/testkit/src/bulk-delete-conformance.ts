import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Store, Txn } from "@k3s/datastore";
import { query, rangeOf, write } from "./store-ops.ts";
import { WatchRecorder } from "./watch-recorder.ts";

/** More than one store tells another one's watches at once. */
const KEYS = 5000;
/** etcd's --max-txn-ops. */
const OPS = 128;
const MANY = rangeOf("/many/", "/many0");
const DELETION: Txn = { compare: [], success: [{ kind: "delete", ...MANY, prevKv: false }], failure: [] };

/** Two stores on one new database. */
type OpenTwoStores = (t: TestContext) => Promise<readonly [Store, Store]>;

/** What a deletion of many keys is to another server on the same database, as a test. */
export function bulkDeleteConformance(label: string, open: OpenTwoStores): void {
  test(`many keys that two servers delete at once on ${label} are told once to the watches of each`, async (t) => {
    const stores = await open(t);
    const [one, other] = stores;
    for (let at = 0; at < KEYS; at += OPS) await one.txn(creationOf(at, Math.min(at + OPS, KEYS)));
    // Both know of all keys, so each begins a large deletion.
    assert.equal((await other.range(query(MANY, { countOnly: true }))).count, KEYS);
    const seen = stores.map((store) => new WatchRecorder(store, MANY));
    const deleted = await Promise.all(stores.map((store) => store.txn(DELETION)));
    const counts = deleted.flatMap(({ results }) =>
      results.map((result) => result.kind === "delete" && result.deleted),
    );
    assert.deepEqual(new Set(counts), new Set([KEYS, 0]));
    const [first] = deleted;
    const { revision: last } = await other.txn(write("/many/00000", 0, "late"));
    await Promise.all(seen.map((recorder) => recorder.count(KEYS + 1)));
    for (const recorder of seen)
      assert.deepEqual(
        recorder.batches.map((batch) => [batch.revision, batch.events.length]),
        [
          [first?.revision, KEYS],
          [last, 1],
        ],
      );
  });

  test(`many keys that one server deletes are gone for another one on ${label} in one revision`, async (t) => {
    const [one, other] = await open(t);
    for (let at = 0; at < KEYS; at += OPS) await one.txn(creationOf(at, Math.min(at + OPS, KEYS)));
    assert.equal((await other.range(query(MANY, { countOnly: true }))).count, KEYS);
    const seen = new WatchRecorder(other, MANY);
    const beside = Array.from({ length: 20 }, (_, i) => other.txn(write(`/beside/${i}`, 0, "1")));
    const [{ revision, results }, ...written] = await Promise.all([one.txn(DELETION), ...beside]);
    assert.deepEqual(results, [{ kind: "delete", revision, deleted: KEYS, prevKvs: [] }]);
    assert.ok(written.every(({ succeeded }) => succeeded));
    assert.equal((await other.range(query(MANY))).count, 0);
    assert.equal((await other.range(query(MANY, { countOnly: true, revision: revision - KEYS }))).count, KEYS);
    const late = await other.txn(write("/many/00000", 0, "late"));
    await seen.count(KEYS + 1);
    assert.deepEqual(
      seen.batches.map((batch) => [batch.revision, batch.events.length]),
      [
        [revision, KEYS],
        [late.revision, 1],
      ],
    );
    assert.ok(seen.batches[0]?.events.every(({ prevKv }, i) => prevKv?.value.toString() === `value ${i}`));
  });
}

function creationOf(start: number, end: number): Txn {
  const writes = Array.from({ length: end - start }, (_, n) => start + n).map((i) =>
    write(`/many/${String(i).padStart(5, "0")}`, 0, `value ${i}`),
  );
  return { compare: [], success: writes.flatMap(({ success }) => success), failure: [] };
}
