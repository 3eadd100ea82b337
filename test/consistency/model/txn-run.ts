import type {
  DeleteRequest,
  PutRequest,
  RangeRequest,
  Refusal,
  TxnOperation,
  TxnRequest,
} from "../history/operation.ts";
import type { ByteText } from "../wire/bytes.ts";
import { cappedVersion } from "./cap-versions.ts";
import type { Expected } from "./expected.ts";
import { holds, isPinned, readRange } from "./range.ts";
import { liveAt, scan, toKeyValue, type Change, type State, type Version } from "./state.ts";

const NEWEST = Number.POSITIVE_INFINITY;

/** The request cannot be carried out, and nothing of it was. Which of several reasons is told is the server's choice. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly reasons: ReadonlySet<Refusal>;

  constructor(reasons: ReadonlySet<Refusal>) {
    super(`Cannot carry out request: ${[...reasons].join(", ")}`);
    this.reasons = reasons;
  }
}

export interface TxnRunOptions {
  /** Of every write. */
  readonly revision: number;
  /** False: versions stop at 2, see `EndpointTraits`. */
  readonly countsVersions: boolean;
}

/** Carries out operations on top of a state. One use. */
export class TxnRun {
  readonly changes: Change[] = [];
  readonly #state: State;
  readonly #at: number;
  readonly #countsVersions: boolean;
  #keys: Map<ByteText, Version> | undefined;

  constructor(state: State, { revision, countsVersions }: TxnRunOptions) {
    this.#state = state;
    this.#at = revision;
    this.#countsVersions = countsVersions;
  }

  get keys(): State["keys"] {
    return this.#keys ?? this.#state.keys;
  }

  /** Throws RefusedError. */
  run(operation: TxnOperation): Expected {
    const reasons = new Set(this.#reasonsAgainst(operation));
    if (reasons.size > 0) throw new RefusedError(reasons);
    return this.#perform(operation);
  }

  /** Deletes what a lease holds, in key order. */
  endLease(id: number): void {
    const held = scan(this.keys, { key: "\0", end: "\0" }, NEWEST).filter(({ lease }) => lease === id);
    for (const version of held) this.#bury(version);
  }

  /** All that can be refused is refused before the first write, on the branches that will run. */
  #reasonsAgainst(operation: TxnOperation): Refusal[] {
    switch (operation.kind) {
      case "range":
        return isPinned(operation) ? this.#againstRevision(operation) : [];
      case "put":
        return this.#againstPut(operation);
      case "delete":
        return [];
      case "txn":
        return branchOf(this.#state.keys, operation).flatMap((inner) => this.#reasonsAgainst(inner));
    }
  }

  #againstRevision({ revision = 0 }: RangeRequest): Refusal[] {
    if (revision > this.#state.revision) return ["future"];
    return revision < this.#state.compacted ? ["compacted"] : [];
  }

  #againstPut({ key, lease = 0, ignoreValue, ignoreLease }: PutRequest): Refusal[] {
    const reasons: Refusal[] = [];
    if (lease !== 0 && !this.#state.leases.has(lease)) reasons.push("leaseNotFound");
    const isKept = ignoreValue === true || ignoreLease === true;
    if (isKept && liveAt(this.#state.keys.get(key), NEWEST) === undefined) reasons.push("keyNotFound");
    return reasons;
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
    const base = before ?? { create: this.#at, version: 0, value: "", lease: 0 };
    const count = base.version + 1;
    const version: Version = {
      key,
      create: base.create,
      mod: this.#at,
      version: this.#countsVersions ? count : cappedVersion(key, count),
      value: ignoreValue === true ? base.value : value,
      lease: ignoreLease === true ? base.lease : lease,
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
