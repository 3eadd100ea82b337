import assert from "node:assert/strict";
import type { Store } from "@k3s/datastore";
import { contents, write } from "./store-ops.ts";

const WRITES = 20;

/**
 * Reads from and writes to a store whose database others use without a pause: each of `guests` writes once and is called again at once,
 * until the store has answered everything. It asserts that reads show what was written before.
 */
export async function assertServedBeside(store: Store, guests: readonly (() => Promise<unknown>)[]): Promise<void> {
  let isOver = false;
  const busy = guests.map(async (guest) => {
    while (!isOver) await guest();
  });
  try {
    for (let i = 0; i < WRITES; i++) {
      const { succeeded, revision } = await store.txn(write(`/ours/${i}`, 0, "ours"));
      assert.ok(succeeded);
      assert.ok((await contents(store)).includes(`/ours/${i}=ours@${revision}`));
      const again = await store.txn(write(`/ours/${i}`, 0, "again")); // changes nothing, and has to be true all the same
      assert.equal(again.succeeded, false);
    }
  } finally {
    isOver = true;
    await Promise.all(busy);
  }
}
