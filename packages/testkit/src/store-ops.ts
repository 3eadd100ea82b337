import {
  emptyBatch,
  StoreError,
  type CommitBatch,
  type Driver,
  type KeyRange,
  type NewRow,
  type PutOp,
  type RangeQuery,
  type Store,
  type Txn,
} from "@k3s/datastore";

/** The range of one key, or up to `end`. */
export function rangeOf(key: string, end = ""): KeyRange {
  return { key: Buffer.from(key), rangeEnd: Buffer.from(end) };
}

/** All keys. */
export const EVERYTHING: KeyRange = { key: Buffer.of(0), rangeEnd: Buffer.of(0) };

/** A range request for the newest state without a limit, unless `more` says otherwise. */
export function query(range: KeyRange, more: Partial<RangeQuery> = {}): RangeQuery {
  return { ...range, limit: 0, revision: 0, keysOnly: false, countOnly: false, ...more };
}

/** A plain put without a lease. */
export function put(key: string, value: string | Buffer): PutOp {
  const plain = { lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
  return { kind: "put", key: Buffer.from(key), value: Buffer.from(value), ...plain };
}

/** What the API server sends to create an object (`mod` 0), or to change one that it has read at revision `mod`. */
export function write(key: string, mod: number, value: string | Buffer): Txn {
  return { compare: [modIs(key, mod)], success: [put(key, value)], failure: [] };
}

/** What the API server sends to delete an object it has read at revision `mod`. */
export function remove(key: string, mod: number): Txn {
  return { compare: [modIs(key, mod)], success: [{ kind: "delete", ...rangeOf(key), prevKv: false }], failure: [] };
}

function modIs(key: string, value: number): Txn["compare"][number] {
  return { ...rangeOf(key), result: "equal", target: { field: "mod", value } };
}

/** `key=value@revision` of all live keys, in their order. */
export async function contents(store: Store): Promise<string[]> {
  const { kvs } = await store.range(query(EVERYTHING));
  return kvs.map(({ key, value, modRevision }) => `${key.toString()}=${value.toString()}@${modRevision}`);
}

/** Whether a call failed because the database does not serve: its outcome may be open, but it is no conflict. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof StoreError && error.reason === "unavailable";
}

/** Whether the database can never hold what was to be written, with a text that says so to the client. */
export function isRefused(error: unknown, says: string): boolean {
  return error instanceof StoreError && error.reason === "refused" && error.message.includes(says);
}

/** A commit of rows that create keys, with consecutive ids behind `after`. */
export function creations(after: number, ...names: readonly string[]): CommitBatch {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  const rows = names.map((name, i): NewRow => ({ id: after + i + 1, name, ...plain, value: Buffer.from(name) }));
  return batchOf(after, rows);
}

/** A commit of these rows. */
export function batchOf(after: number, rows: readonly NewRow[]): CommitBatch {
  return { ...emptyBatch, after, rows };
}

/** Ids of all rows that the database has. */
export async function rowIds(driver: Driver): Promise<number[]> {
  return (await driver.heads(0, 10_000)).map(({ id }) => id);
}
