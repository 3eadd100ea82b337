import { revision, type Op, type OpResult, type Revision, type Store, type Txn, type TxnResult } from "@k3s/datastore";
import { override, type Seed } from "./seed.ts";

const SOMETIMES = 0.05;

/** What a write can do wrong. */
export const writeSeeds: readonly Seed[] = [
  {
    name: "a guarded write succeeds although its guard does not hold",
    foundAs: ["linearizable"],
    plant: (store, random) =>
      overrideTxn(store, (txn) => store.txn(random.chance(SOMETIMES) ? { ...txn, compare: [] } : txn)),
  },
  {
    name: "a guarded write is refused although its guard holds",
    foundAs: ["linearizable"],
    plant: (store, random) =>
      overrideTxn(store, async (txn) => {
        if (!isGuarded(txn) || !random.chance(SOMETIMES)) return store.txn(txn);
        return { ...(await store.txn({ compare: [], success: txn.failure, failure: [] })), succeeded: false };
      }),
  },
  {
    name: "a deletion is acknowledged and not carried out",
    foundAs: ["linearizable"],
    plant: (store, random) =>
      overrideTxn(store, (txn) => {
        const isDelete = txn.success.length === 1 && txn.success[0]?.kind === "delete";
        return isDelete && random.chance(0.2)
          ? pretend(store, txn, { kind: "delete", revision: next(store), deleted: 1, prevKvs: [] })
          : store.txn(txn);
      }),
  },
  {
    name: "a write is acknowledged and not carried out",
    foundAs: ["linearizable", "header"],
    plant: (store, random) =>
      overrideTxn(store, (txn) => {
        const isPut = txn.compare.length === 0 && txn.success.length === 1 && txn.success[0]?.kind === "put";
        return isPut && random.chance(SOMETIMES)
          ? pretend(store, txn, { kind: "put", prevKv: undefined })
          : store.txn(txn);
      }),
  },
  {
    name: "a write is carried out twice",
    foundAs: ["linearizable"],
    plant: (store, random) =>
      overrideTxn(store, async (txn) => {
        const result = await store.txn(txn);
        if (txn.compare.length === 0 && txn.success.some(isWrite) && random.chance(SOMETIMES)) await store.txn(txn);
        return result;
      }),
  },
  {
    name: "a transaction is carried out one operation after the other",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideTxn(store, async (txn) => {
        if (txn.compare.length > 0 || txn.success.length < 2) return store.txn(txn);
        const results: OpResult[] = [];
        let last: TxnResult | undefined;
        for (const op of txn.success) {
          last = await store.txn({ compare: [], success: [op], failure: [] });
          results.push(...last.results);
        }
        return { revision: last?.revision ?? store.currentRevision, succeeded: true, results };
      }),
  },
  {
    name: "a transaction that fails writes all the same",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideTxn(store, async (txn) => {
        const result = await store.txn(txn);
        const [put] = txn.success;
        if (result.succeeded || put?.kind !== "put" || put.ignoreLease || put.ignoreValue) return result;
        await store.txn({ compare: [], success: [put], failure: [] }).catch(() => undefined);
        return result;
      }),
  },
  {
    name: "a write is answered with whatever revision is current",
    foundAs: ["linearizable", "header"],
    plant: (store) =>
      overrideTxn(store, async (txn) => {
        const result = await store.txn(txn);
        await store.status();
        return { ...result, revision: store.currentRevision };
      }),
  },
  {
    name: "prev_kv of a put is missing",
    foundAs: ["linearizable"],
    plant: (store, random) =>
      overrideResults(store, (result) =>
        result.kind === "put" && random.chance(0.2) ? { ...result, prevKv: undefined } : result,
      ),
  },
  {
    name: "the number of deleted keys is wrong",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideResults(store, (result) => (result.kind === "delete" ? { ...result, deleted: 1 } : result)),
  },
  {
    name: "a range inside of a transaction does not see the writes before it",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideTxn(store, (txn) =>
        store.txn({ ...txn, success: rangesFirst(txn.success), failure: rangesFirst(txn.failure) }).then((result) => {
          const ops = result.succeeded ? txn.success : txn.failure;
          const sorted = rangesFirst(ops);
          const results = ops.map((op) => result.results[sorted.indexOf(op)]).filter((one) => one !== undefined);
          return { ...result, results };
        }),
      ),
  },
  {
    name: "comparisons of values always hold",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideTxn(store, (txn) =>
        store.txn({ ...txn, compare: txn.compare.filter(({ target }) => target.field !== "value") }),
      ),
  },
  {
    name: "a put keeps the lease that it should detach",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideTxn(store, (txn) => {
        const keep = (op: Op): Op => (op.kind === "put" && op.lease === 0n ? { ...op, ignoreLease: true } : op);
        return store.txn({ ...txn, success: txn.success.map(keep) }).catch(() => store.txn(txn));
      }),
  },
];

function overrideTxn(store: Store, txn: (txn: Txn) => Promise<TxnResult>): Store {
  return override(store, { txn });
}

function overrideResults(store: Store, change: (result: OpResult) => OpResult): Store {
  return overrideTxn(store, async (txn) => {
    const result = await store.txn(txn);
    return { ...result, results: result.results.map(change) };
  });
}

/** The answer of a write that never was. */
function pretend(store: Store, { success }: Txn, result: OpResult): Promise<TxnResult> {
  return Promise.resolve({ revision: next(store), succeeded: true, results: success.map(() => result) });
}

function next(store: Store): Revision {
  return revision(store.currentRevision + 1);
}

function isGuarded({ compare, success }: Txn): boolean {
  return compare.length > 0 && success.some(isWrite);
}

function isWrite({ kind }: Op): boolean {
  return kind === "put" || kind === "delete";
}

function rangesFirst(ops: readonly Op[]): readonly Op[] {
  return [...ops.filter(({ kind }) => kind === "range"), ...ops.filter(({ kind }) => kind !== "range")];
}
