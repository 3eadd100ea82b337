import assert from "node:assert/strict";
import type { Store } from "@k3s/datastore";
import { contents, write } from "./store-ops.ts";

const WRITES = 20;
/** How long the guests may need after our first writes. */
const PATIENCE_MS = 60_000;

/** Writes once to the database. Resolves with whether it did. */
type Guest = () => Promise<boolean>;

/**
 * Reads from and writes to the stores of a database that others use without a pause: each of `guests` is called again as soon as it has
 * written, until the stores have answered everything and each guest has written often. It asserts that reads show what was written before,
 * and that the guests come to write too, however slow they are.
 */
export async function assertServedBeside(stores: readonly Store[], guests: readonly Guest[]): Promise<void> {
  let isOver = false;
  const written = guests.map(() => 0);
  const busy = guests.map(async (guest, i) => {
    while (!isOver) if (await guest()) written[i] = (written[i] ?? 0) + 1;
  });
  try {
    await Promise.all(stores.map((store, index) => useStore(store, `/ours/${index}`)));
    // Ours goes on, so that they are not left alone: fast stores would be ready before slow guests have begun.
    const endsAt = performance.now() + PATIENCE_MS;
    for (let round = 0; written.some((count) => count <= WRITES); round++) {
      if (performance.now() > endsAt) assert.fail(`the guests wrote ${written.join(" and ")} times only`);
      await Promise.all(stores.map((store, index) => useStore(store, `/more/${index}/${round}`)));
    }
  } finally {
    isOver = true;
    await Promise.all(busy);
  }
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
