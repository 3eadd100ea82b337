import assert from "node:assert/strict";
import type { Store } from "@k3s/datastore";
import { contents, write } from "./store-ops.ts";

const WRITES = 20;

/** Writes once to the database. Resolves with whether it did. */
type Guest = () => Promise<boolean>;

/**
 * Reads from and writes to the stores of a database that others use without a pause: each of `guests` is called again as soon as it has
 * written, until the stores have answered everything. It asserts that reads show what was written before, and that the guests wrote too.
 */
export async function assertServedBeside(stores: readonly Store[], guests: readonly Guest[]): Promise<void> {
  let isOver = false;
  const busy = guests.map(async (guest) => {
    let written = 0;
    while (!isOver) written += (await guest()) ? 1 : 0;
    return written;
  });
  try {
    await Promise.all(stores.map((store, index) => useStore(store, `/ours/${index}`)));
  } finally {
    isOver = true;
  }
  for (const written of await Promise.all(busy)) assert.ok(written > WRITES, `a guest wrote ${written} times only`);
}

async function useStore(store: Store, prefix: string): Promise<void> {
  for (let i = 0; i < WRITES; i++) {
    const { succeeded, revision } = await store.txn(write(`${prefix}/${i}`, 0, "ours"));
    assert.ok(succeeded);
    assert.ok((await contents(store)).includes(`${prefix}/${i}=ours@${revision}`));
    const again = await store.txn(write(`${prefix}/${i}`, 0, "again")); // changes nothing, and has to be true all the same
    assert.equal(again.succeeded, false);
    const { id } = await store.leaseGrant({ id: 0n, ttlSeconds: 600 }); // without a row
    await store.leaseRevoke(id);
  }
}
