import { DeadlineExceeded } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Dialect, FailureKind, SqlSession } from "./dialect.ts";
import { TookTooLong } from "./limited.ts";

/** What the operator can do about each lasting state of a database that does not serve. */
const STATES = {
  failed: {
    message: "the database cannot be used",
    hint: "Look whether the database runs and can be reached; the connection is made again by itself",
  },
  slow: {
    message: "the database cannot be used: it does not answer in time",
    hint: "Look in the database for locks on the tables of k3s and for long transactions, as those of a backup, and whether it stands still",
  },
  readOnly: {
    message: "the database takes no writes: it is read-only",
    hint: "Let the endpoint name the primary, or end the read-only mode of the database",
  },
  noSpace: {
    message: "the database takes no writes: its disk is full",
    hint: "Free space on the disk of the database; compaction and deletions may go on meanwhile",
  },
} as const;
type State = keyof typeof STATES;

const UNREACHABLE: ReadonlySet<unknown> = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
  ...["EHOSTDOWN", "ENETDOWN", "ENOTFOUND", "EAI_AGAIN", "ENOENT", "PROTOCOL_CONNECTION_LOST"],
]);

/**
 * The way to the server failed, and the request did not get to it or its answer not back. Only connecting ends by a deadline of its own:
 * what runs on a connection ends by {@link TookTooLong}.
 */
function isUnreachable(error: unknown): boolean {
  if (error instanceof DeadlineExceeded) return true;
  return error instanceof Error && "code" in error && UNREACHABLE.has(error.code);
}

interface Trouble {
  readonly state: State;
  readonly since: number;
  /** Of the request that met it. */
  readonly what: "read" | "write";
}

/** Turns what the client library throws into the store's errors, and tells the log once when a trouble begins and ends. */
export class Failures {
  readonly #dialect: Pick<Dialect<SqlSession>, "classify" | "product">;
  readonly #log: Logger;
  #trouble: Trouble | undefined;

  constructor(dialect: Pick<Dialect<SqlSession>, "classify" | "product">, log: Logger) {
    this.#dialect = dialect;
    this.#log = log;
  }

  kindOf(error: unknown): FailureKind {
    return error instanceof DriverError ? error.kind : this.#dialect.classify(error);
  }

  /** The store's error for a failure, which is noted. */
  toDriverError(error: unknown, what: "read" | "write"): DriverError {
    if (error instanceof DriverError) return error;
    const kind = this.#dialect.classify(error);
    const isSlow = error instanceof TookTooLong;
    if (kind === "failed" || kind === "readOnly" || kind === "noSpace")
      this.#begin({ state: isSlow ? "slow" : kind, what }, error);
    const told = kind === "readOnly" || kind === "retry" ? "failed" : kind;
    const state = isSlow ? "did not answer in time" : stateOf(kind, error);
    return new DriverError(told, `Cannot carry out request: ${this.#dialect.product} ${state}`, { cause: error });
  }

  /** Something worked: a trouble that kept it from working is over. */
  worked(what: "read" | "write"): void {
    if (this.#trouble === undefined || (what === "read" && isOfWrites(this.#trouble))) return;
    const durationMs = Math.round(performance.now() - this.#trouble.since);
    this.#trouble = undefined;
    this.#log.info({ durationMs }, "the database can be used again");
  }

  #begin({ state, what }: Pick<Trouble, "state" | "what">, error: unknown): void {
    const known = this.#trouble?.state;
    // Requests that wait for one that is not there end in both ways: that it cannot be used is told already.
    if (known === state || (known === "failed" && state === "slow")) return;
    this.#trouble = { state, what, since: this.#trouble?.since ?? performance.now() };
    const { message, hint } = STATES[state];
    this.#log.warn({ error, hint }, message);
  }
}

function stateOf(kind: FailureKind, error: unknown): string {
  if (isUnreachable(error)) return "cannot be reached";
  return kind === "retry" ? "was held back by other transactions" : "refused it";
}

/** Reads may go on beside it: a lock can keep back writes alone. */
function isOfWrites({ state, what }: Trouble): boolean {
  return state !== "failed" && (state !== "slow" || what === "write");
}
