import { txnOp } from "@k3s/testkit";
import type { CaseClient } from "./case-client.ts";

/** Operations that one transaction may have. */
const OPS_MAX = 128;
/** Keeps a transaction below the largest request. */
const BYTES_MAX = 1_000_000;

/** Puts many keys, many to a transaction and some transactions at a time. */
export async function putAll(client: CaseClient, keys: readonly string[], value = ""): Promise<void> {
  const size = Math.max(1, Math.min(OPS_MAX, Math.floor(BYTES_MAX / (value.length + 100))));
  const batches = Array.from({ length: Math.ceil(keys.length / size) }, (_, i) => keys.slice(i * size, (i + 1) * size));
  await inParallel(batches.length, 8, async (i) => {
    await client.txn({ success: (batches[i] ?? []).map((key) => txnOp.put({ key, value })) });
  });
}

/** Runs a task for each number below `total`, `width` at a time. */
export async function inParallel(total: number, width: number, task: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < total) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, total) }, work));
}

/** `count` keys below a prefix, in byte order. */
export function keysBelow(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => prefix + String(i).padStart(6, "0"));
}

/** The end of the range of all keys that begin with `prefix`. */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
