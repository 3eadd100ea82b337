import type { Driver } from "./driver.ts";
import { nameOfKey } from "./names.ts";
import { StoreError } from "./store-errors.ts";
import { contains, toInterval, type Interval } from "./key-range.ts";
import { assertKey } from "./range-selection.ts";
import type { Op, PutOp, Txn } from "./types.ts";
import { toKey, type Key } from "./version.ts";

/** etcd's --max-txn-ops. */
const MAX_OPS = 128;

interface Touched {
  readonly puts: Set<Key>;
  readonly deletes: Interval[];
}

/**
 * Throws what etcd refuses before it looks at any data: too many operations, empty keys, a key written twice; and what the
 * database could not hold: found out later it would hold up what others write in the same commit.
 */
export function checkTxn(txn: Txn, driver: Pick<Driver, "refusal">): void {
  checkShape(txn);
  for (const branch of [txn.success, txn.failure]) {
    touchedBy(branch);
    for (const op of putsOf(branch)) assertHeld(op, driver);
  }
}

function assertHeld({ key, value }: PutOp, driver: Pick<Driver, "refusal">): void {
  const refusal = driver.refusal?.(nameOfKey(toKey(key)), value.length);
  if (refusal === undefined) return;
  const { part, state } = refusal;
  if (part === "name") throw new StoreError("keyRefused", `Cannot write key: ${state}`);
  throw new StoreError("requestTooLarge", `Cannot write value of ${value.length} bytes: ${state}`);
}

/** Those of nested transactions too. */
function putsOf(ops: readonly Op[]): PutOp[] {
  return ops.flatMap((op) => {
    if (op.kind === "txn") return [...putsOf(op.txn.success), ...putsOf(op.txn.failure)];
    return op.kind === "put" ? [op] : [];
  });
}

function checkShape({ compare, success, failure }: Txn): void {
  const largest = Math.max(compare.length, success.length, failure.length);
  if (largest > MAX_OPS)
    throw new StoreError("tooManyOps", `Cannot run transaction: it has ${largest} operations, the limit is ${MAX_OPS}`);
  for (const { key } of compare) assertKey(key);
  for (const op of success) checkOp(op);
  for (const op of failure) checkOp(op);
}

function checkOp(op: Op): void {
  switch (op.kind) {
    case "put": {
      checkPut(op);
      return;
    }
    case "delete": {
      assertKey(op.key);
      return;
    }
    case "range": {
      assertKey(op.query.key);
      return;
    }
    case "txn": {
      checkShape(op.txn);
      return;
    }
  }
}

function checkPut({ key, value, lease, ignoreValue, ignoreLease }: PutOp): void {
  assertKey(key);
  if (ignoreValue && value.length > 0) throw new StoreError("valueProvided", "Cannot keep value: a new one was given");
  if (ignoreLease && lease !== 0n) throw new StoreError("leaseProvided", "Cannot keep lease: a new one was given");
}

/** What one branch writes. The two branches of a nested transaction may write the same keys: only one of them runs. */
function touchedBy(ops: readonly Op[]): Touched {
  const deletes = ops.filter((op) => op.kind === "delete").map(toInterval);
  const puts = new Set<Key>();
  for (const op of ops) {
    if (op.kind !== "txn") continue;
    const branches = [touchedBy(op.txn.success), touchedBy(op.txn.failure)];
    const inner = new Set(branches.flatMap((branch) => [...branch.puts]));
    for (const key of inner) claim(key, { puts, deletes });
    deletes.push(...branches.flatMap((branch) => branch.deletes));
  }
  for (const op of ops) if (op.kind === "put") claim(toKey(op.key), { puts, deletes });
  return { puts, deletes };
}

function claim(key: Key, { puts, deletes }: Touched): void {
  if (puts.has(key) || deletes.some((interval) => contains(interval, key)))
    throw new StoreError("duplicateKey", "Cannot run transaction: a key is written twice");
  puts.add(key);
}
