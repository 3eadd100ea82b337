import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import { Adoption } from "../src/adoption.ts";
import { tableTraits } from "../src/driver.ts";
import type { Plan } from "../src/draft.ts";
import { Leases } from "../src/leases.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import type { Unleased } from "../src/row-reader.ts";
import { StoreError } from "../src/store-errors.ts";
import { ValueCache } from "../src/value-cache.ts";

const unavailable = () => new StoreError("unavailable", "Cannot use datastore: the test says so");
const full = () => new StoreError("noSpace", "Cannot write to datastore: the disk is full");
const refused = () => new StoreError("refused", "the test cannot hold it");

/** An adoption whose first commits end with `failures`. `made` has the keys of each that came through. */
function createRig(t: TestContext, failures: readonly Error[]) {
  const index = new MvccIndex();
  const lines: string[] = [];
  const log = createLogger({ level: "warn", format: "text", write: (line) => lines.push(line) });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const { signal } = stop;
  const values = new ValueCache({ values: () => Promise.resolve([]) }, 1000, () => undefined);
  const leases = new Leases({ driver: { traits: tableTraits }, index, values, log, signal });
  const made: (readonly number[])[] = [];
  const left = [...failures];
  const over = Promise.withResolvers<void>();
  const run = async <T>(plan: Plan<T>): Promise<T> => {
    const draft = plan(new Map());
    assert.ok(!("needs" in draft));
    await Promise.resolve();
    const failure = left.shift();
    if (failure !== undefined) {
      draft.undo();
      throw failure;
    }
    made.push(draft.batch.rowLeases.map(([row]) => row));
    if (left.length === 0) over.resolve();
    return draft.result;
  };
  const write = (row: number, key = `k${row}`): Unleased => {
    const version = { key, row, mod: row, create: row, version: 1, lease: 0n, deleted: false };
    index.append({ ...version, previous: index.newest(key), value: undefined });
    return { version: index.newest(key) ?? assert.fail(), ttlSeconds: 60 };
  };
  const other = new Leases({ driver: { traits: tableTraits }, index, values, log, signal });
  const adoption = new Adoption({ committer: { run }, leases, index, log, signal });
  return { adoption, made, lines, write, leases, other, index, over };
}

test("Adoption: what fails while the database is away or full is tried again, with what came meanwhile behind it", async (t) => {
  const { adoption, made, lines, write, over } = createRig(t, [unavailable(), full()]);
  const [first, second] = [write(1), write(2)];
  adoption.add([first]);
  adoption.add([second]);
  await over.promise;
  await new Promise(setImmediate);
  assert.deepEqual(made, [[1], [2]]);
  assert.deepEqual([lines.length, first.version.lease !== second.version.lease], [0, true]);
});

test("Adoption: what can never be made is told once and left, and the rest goes on", async (t) => {
  const { adoption, made, lines, write, over, leases } = createRig(t, [refused()]);
  const [first, second] = [write(1), write(2)];
  adoption.add([first]);
  adoption.add([second]);
  await over.promise;
  await new Promise(setImmediate);
  assert.deepEqual(made, [[2]]);
  assert.match(
    lines.join(""),
    /^.*cannot give leases to keys: they stay until the next start.*the test cannot hold it.*\n$/,
  );
  assert.deepEqual([first.version.lease, leases.book.ids()], [0n, [second.version.lease]]);
});

test("Adoption: a key that was overwritten before its turn gets no lease", async (t) => {
  const { adoption, made, write, over, leases } = createRig(t, []);
  const old = write(1);
  const { version } = old;
  write(2, version.key);
  adoption.add([old]);
  await over.promise;
  assert.deepEqual([made, version.lease, leases.book.ids()], [[[]], 0n, []]);
});

test("Adoption: a lease that another server gave to a key, and that ends before the key's turn, ends the key", (t) => {
  const { adoption, write, leases, index, other } = createRig(t, []);
  const key = write(1);
  const { id } = other.adopt([{ ...key, version: { ...key.version } }]).batch.leases[0] ?? assert.fail();
  leases.book.update([], [{ id, ttlSeconds: 60, expiresAtMs: 1 }]);
  adoption.add([key]);
  index.commit(1);
  const draft = leases.revoke(id, new Map([[1, Buffer.from("v")]]));
  assert.ok(!("needs" in draft));
  assert.deepEqual(
    [draft.batch.rows.map(({ name, deleted }) => [name, deleted]), draft.batch.endedLeases],
    [[["k1", true]], [id]],
  );
});
