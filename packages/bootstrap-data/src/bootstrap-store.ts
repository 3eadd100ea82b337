import { revision, type Compare, type Op, type Store } from "@k3s/datastore";

/** One key of the datastore. */
export interface BootstrapEntry {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

/** The little the bootstrap record needs of a datastore. The three writes resolve with false when somebody was first. */
export interface BootstrapStore {
  /** Every key that starts with `prefix`, in key order. */
  list(prefix: string): Promise<readonly BootstrapEntry[]>;
  /** Puts the key if it does not exist. */
  create(key: string, value: string): Promise<boolean>;
  /** Puts the key if it was last changed at `modRevision`. */
  update(key: string, value: string, modRevision: number): Promise<boolean>;
  /** Deletes the key if it was last changed at `modRevision`. */
  delete(key: string, modRevision: number): Promise<boolean>;
}

const NONE = Buffer.alloc(0);

/** The bootstrap record's view of our own store. */
export function bootstrapStoreOn(store: Store): BootstrapStore {
  const commit = async (key: string, modRevision: number, op: Op): Promise<boolean> => {
    const unchanged: Compare = {
      key: Buffer.from(key),
      rangeEnd: NONE,
      result: "equal",
      target: { field: "mod", value: revision(modRevision) },
    };
    const { succeeded } = await store.txn({ compare: [unchanged], success: [op], failure: [] });
    return succeeded;
  };
  return {
    list: async (prefix) => {
      const { kvs } = await store.range({
        ...prefixRange(prefix),
        limit: 0,
        revision: 0,
        keysOnly: false,
        countOnly: false,
      });
      return kvs.map(({ key, value, modRevision }) => ({ key: key.toString(), value: value.toString(), modRevision }));
    },
    create: (key, value) => commit(key, 0, put(key, value)),
    update: (key, value, modRevision) => commit(key, modRevision, put(key, value)),
    delete: (key, modRevision) =>
      commit(key, modRevision, { kind: "delete", key: Buffer.from(key), rangeEnd: NONE, prevKv: false }),
  };
}

function put(key: string, value: string): Op {
  const plain = { lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
  return { kind: "put", key: Buffer.from(key), value: Buffer.from(value), ...plain };
}

/** From the prefix up to, without it, the first key behind all that start with it. */
function prefixRange(prefix: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  const key = Buffer.from(prefix);
  const rangeEnd = Buffer.from(key);
  const last = rangeEnd.length - 1;
  rangeEnd.writeUInt8(rangeEnd.readUInt8(last) + 1, last);
  return { key, rangeEnd };
}
