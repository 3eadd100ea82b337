import type {
  DeleteRequest,
  PutRequest,
  RangeRequest,
  Refusal,
  TxnOperation,
  TxnRequest,
} from "../history/operation.ts";
import type { ByteText } from "../wire/bytes.ts";
import type { Expected } from "./expected.ts";
import { holds, isPinned, readRange } from "./range.ts";
import { liveAt, scan, toKeyValue, type Change, type State, type Version } from "./state.ts";

const NEWEST = Number.POSITIVE_INFINITY;

/** The request cannot be carried out; nothing of it was. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly reason: Refusal;

  constructor(reason: Refusal) {
    super(`Cannot carry out request: ${reason}`);
    this.reason = reason;
  }
}

/** Carries out operations on top of a state, every write at the revision `at`. One use. */
export class TxnRun {
  readonly changes: Change[] = [];
  readonly #state: State;
  readonly #at: number;
  #keys: Map<ByteText, Version> | undefined;

  constructor(state: State, at: number) {
    this.#state = state;
    this.#at = at;
  }

  get keys(): State["keys"] {
    return this.#keys ?? this.#state.keys;
  }

  /** Throws RefusedError. */
  run(operation: TxnOperation): Expected {
    this.#check(operation);
    return this.#perform(operation);
  }

  /** Deletes what a lease holds, in key order. */
  endLease(id: number): void {
    const held = scan(this.keys, { key: "\0", end: "\0" }, NEWEST).filter(({ lease }) => lease === id);
    for (const version of held) this.#bury(version);
  }

  /** All that can be refused is refused before the first write, on the branches that will run. */
  #check(operation: TxnOperation): void {
    switch (operation.kind) {
      case "range": {
        if (isPinned(operation)) this.#checkRevision(operation);
        return;
      }
      case "put": {
        this.#checkPut(operation);
        return;
      }
      case "delete":
        return;
      case "txn": {
        for (const inner of branchOf(this.#state.keys, operation)) this.#check(inner);
        return;
      }
    }
  }

  #checkRevision({ revision = 0 }: RangeRequest): void {
    if (revision > this.#state.revision) throw new RefusedError("future");
    if (revision < this.#state.compacted) throw new RefusedError("compacted");
  }

  #checkPut({ key, lease = 0, ignoreValue, ignoreLease }: PutRequest): void {
    if (lease !== 0 && !this.#state.leases.has(lease)) throw new RefusedError("leaseNotFound");
    const isKept = ignoreValue === true || ignoreLease === true;
    if (isKept && liveAt(this.#state.keys.get(key), NEWEST) === undefined) throw new RefusedError("keyNotFound");
  }

  #perform(operation: TxnOperation): Expected {
    switch (operation.kind) {
      case "range":
        return readRange(this.keys, operation, NEWEST);
      case "put":
        return this.#put(operation);
      case "delete":
        return this.#delete(operation);
      case "txn": {
        // Comparisons see the state before the whole transaction, as every level is decided before the first write.
        const succeeded = isFulfilled(this.#state.keys, operation);
        const branch = succeeded ? operation.success : operation.failure;
        return { kind: "txn", succeeded, responses: branch.map((inner) => this.#perform(inner)) };
      }
    }
  }

  #put({ key, value, lease = 0, prevKv, ignoreValue, ignoreLease }: PutRequest): Expected {
    const newest = this.keys.get(key);
    const before = liveAt(newest, NEWEST);
    const version: Version = {
      key,
      create: before?.create ?? this.#at,
      mod: this.#at,
      version: (before?.version ?? 0) + 1,
      value: ignoreValue === true ? (before?.value ?? "") : value,
      lease: ignoreLease === true ? (before?.lease ?? 0) : lease,
      deleted: false,
      previous: newest,
    };
    this.#write({ type: "put", version, previous: before });
    return { kind: "put", prevKv: prevKv === true && before !== undefined ? toKeyValue(before) : undefined };
  }

  #delete(request: DeleteRequest): Expected {
    const versions = scan(this.keys, request, NEWEST);
    for (const version of versions) this.#bury(version);
    return {
      kind: "delete",
      deleted: versions.length,
      prevKvs: request.prevKv === true ? versions.map(toKeyValue) : [],
    };
  }

  #bury(before: Version): void {
    const nothing = { create: 0, version: 0, value: "", lease: 0 };
    const version: Version = { ...nothing, key: before.key, mod: this.#at, deleted: true, previous: before };
    this.#write({ type: "delete", version, previous: before });
  }

  #write(change: Change): void {
    this.#keys ??= new Map(this.#state.keys);
    this.#keys.set(change.version.key, change.version);
    this.changes.push(change);
  }
}

function isFulfilled(keys: State["keys"], { compare }: TxnRequest): boolean {
  return compare.every((one) => holds(keys, one));
}

function branchOf(keys: State["keys"], txn: TxnRequest): readonly TxnOperation[] {
  return isFulfilled(keys, txn) ? txn.success : txn.failure;
}
