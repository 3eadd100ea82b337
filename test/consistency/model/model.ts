import type { Hole, Refusal, Request, TxnOperation } from "../history/operation.ts";
import type { EndpointTraits } from "../history/endpoint-traits.ts";
import type { Expected } from "./expected.ts";
import type { Change, State } from "./state.ts";
import { RefusedError, TxnRun } from "./txn-run.ts";

/** What a request does to a state. `state` is the same object when it changes nothing. */
export interface Applied {
  readonly state: State;
  readonly expected: Expected;
  readonly changes: readonly Change[];
}

const NO_CHANGES: readonly Change[] = [];

/** etcd's meaning of every request, as a function from one state to the next. */
export class Model {
  readonly #traits: EndpointTraits;
  /** Numbers of histories by the number of the one before and the changes on top of it. */
  readonly #histories = new Map<string, number>();

  constructor(traits: EndpointTraits) {
    this.#traits = traits;
  }

  apply(state: State, request: Request | Hole): Applied {
    switch (request.kind) {
      case "hole":
        return this.#skip(state, request.revision);
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
      let run = this.#run(state, 1);
      let expected = run.run(request);
      const writes = run.changes.length;
      if (writes > 1 && this.#traits.revisionStep === "per-write") {
        run = this.#run(state, writes);
        expected = run.run(request);
      }
      return { state: this.#changed(state, run), expected, changes: run.changes };
    } catch (error) {
      if (error instanceof RefusedError) return answer(state, { kind: "refused", reasons: error.reasons });
      throw error;
    }
  }

  #compact(state: State, at: number): Applied {
    if (at <= state.compacted) return answer(state, refused("compacted"));
    if (at > state.revision) return answer(state, refused("future"));
    const next = { ...state, compacted: at };
    return { state: next, expected: { kind: "compact" }, changes: NO_CHANGES };
  }

  #skip(state: State, revision: number): Applied {
    const next = revision === state.revision + 1 ? { ...state, revision } : state;
    return answer(next, { kind: "hole" });
  }

  #grant(state: State, id: number): Applied {
    if (state.leases.has(id)) return answer(state, refused("leaseExists"));
    const leases = new Set(state.leases).add(id);
    const next = { ...state, leases };
    return { state: next, expected: { kind: "leaseGrant" }, changes: NO_CHANGES };
  }

  #revoke(state: State, id: number): Applied {
    if (!state.leases.has(id)) return answer(state, refused("leaseNotFound"));
    const end = (raise: number) => {
      const run = this.#run(state, raise);
      run.endLease(id);
      return run;
    };
    const writes = end(1).changes.length;
    const run = end(this.#traits.revisionStep === "per-write" ? writes : 1);
    const leases = new Set(state.leases);
    leases.delete(id);
    const next = { ...this.#changed(state, run), leases };
    return { state: next, expected: { kind: "leaseRevoke" }, changes: run.changes };
  }

  #run(state: State, raise: number): TxnRun {
    return new TxnRun(state, { revision: state.revision + raise, countsVersions: this.#traits.versions === "exact" });
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

function refused(reason: Refusal): Expected {
  return { kind: "refused", reasons: new Set([reason]) };
}

function answer(state: State, expected: Expected): Applied {
  return { state, expected, changes: NO_CHANGES };
}
