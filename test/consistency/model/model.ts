import type { Request, TxnOperation } from "../history/operation.ts";
import type { Expected } from "./expected.ts";
import type { Change, State } from "./state.ts";
import { RefusedError, TxnRun } from "./txn-run.ts";

/**
 * How far one transaction raises the revision: etcd counts transactions; a table of one row for each change counts changes
 * and gives all of them the last number.
 */
export type RevisionStep = "per-txn" | "per-write";

/** What a request does to a state. `state` is the same object when it changes nothing. */
export interface Applied {
  readonly state: State;
  readonly expected: Expected;
  readonly changes: readonly Change[];
}

const NO_CHANGES: readonly Change[] = [];

/** etcd's meaning of every request, as a function from one state to the next. */
export class Model {
  readonly #step: RevisionStep;
  /** Numbers of histories by the number of the one before and the changes on top of it. */
  readonly #histories = new Map<string, number>();

  constructor(step: RevisionStep) {
    this.#step = step;
  }

  apply(state: State, request: Request): Applied {
    switch (request.kind) {
      case "range":
      case "put":
      case "delete":
      case "txn":
        return this.#transact(state, request);
      case "compact":
        return this.#compact(state, request.revision);
      case "leaseGrant":
        return this.#grant(state, request.id);
      case "leaseRevoke":
        return this.#revoke(state, request.id);
      case "leaseKeepAlive":
      case "leaseTimeToLive":
        return answer(state, { kind: request.kind, exists: state.leases.has(request.id) });
    }
  }

  #transact(state: State, request: TxnOperation): Applied {
    try {
      let run = new TxnRun(state, state.revision + 1);
      let expected = run.run(request);
      const writes = run.changes.length;
      if (writes > 1 && this.#step === "per-write") {
        run = new TxnRun(state, state.revision + writes);
        expected = run.run(request);
      }
      return { state: this.#changed(state, run), expected, changes: run.changes };
    } catch (error) {
      if (error instanceof RefusedError) return answer(state, { kind: "refused", reason: error.reason });
      throw error;
    }
  }

  #compact(state: State, at: number): Applied {
    if (at <= state.compacted) return answer(state, { kind: "refused", reason: "compacted" });
    if (at > state.revision) return answer(state, { kind: "refused", reason: "future" });
    const next = { ...state, compacted: at };
    return { state: next, expected: { kind: "compact" }, changes: NO_CHANGES };
  }

  #grant(state: State, id: number): Applied {
    if (state.leases.has(id)) return answer(state, { kind: "refused", reason: "leaseExists" });
    const leases = new Set(state.leases).add(id);
    const next = { ...state, leases };
    return { state: next, expected: { kind: "leaseGrant" }, changes: NO_CHANGES };
  }

  #revoke(state: State, id: number): Applied {
    if (!state.leases.has(id)) return answer(state, { kind: "refused", reason: "leaseNotFound" });
    const end = (at: number) => {
      const run = new TxnRun(state, at);
      run.endLease(id);
      return run;
    };
    const writes = end(state.revision + 1).changes.length;
    const run = end(state.revision + (this.#step === "per-write" ? writes : 1));
    const leases = new Set(state.leases);
    leases.delete(id);
    const next = { ...this.#changed(state, run), leases };
    return { state: next, expected: { kind: "leaseRevoke" }, changes: run.changes };
  }

  #changed(state: State, { changes, keys }: TxnRun): State {
    const last = changes.at(-1);
    if (last === undefined) return state;
    const what = changes.map(({ type, version }) => `${type} ${version.key} ${version.lease} ${version.value}`);
    return { ...state, revision: last.version.mod, keys, history: this.#number(state, what.join("\n")) };
  }

  #number(state: State, change: string): number {
    const key = `${state.history}\n${change}`;
    const known = this.#histories.get(key);
    if (known !== undefined) return known;
    const number = this.#histories.size + 1;
    this.#histories.set(key, number);
    return number;
  }
}

function answer(state: State, expected: Expected): Applied {
  return { state, expected, changes: NO_CHANGES };
}
