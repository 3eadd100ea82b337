import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Dialect, FailureKind, SqlSession } from "./dialect.ts";

/** What the operator can do about each lasting state of a database that does not serve. */
const STATES = {
  failed: {
    message: "the database cannot be used",
    hint: "Look whether the database runs and can be reached; the connection is made again by itself",
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

/** The way to the server failed, and the request did not get to it or its answer not back. */
function isUnreachable(error: unknown): boolean {
  return error instanceof Error && "code" in error && UNREACHABLE.has(error.code);
}

/** Turns what the client library throws into the store's errors, and tells the log once when a trouble begins and ends. */
export class Failures {
  readonly #dialect: Pick<Dialect<SqlSession>, "classify" | "product">;
  readonly #log: Logger;
  #trouble: { readonly state: State; readonly since: number } | undefined;

  constructor(dialect: Pick<Dialect<SqlSession>, "classify" | "product">, log: Logger) {
    this.#dialect = dialect;
    this.#log = log;
  }

  kindOf(error: unknown): FailureKind {
    return error instanceof DriverError ? error.kind : this.#dialect.classify(error);
  }

  /** The store's error for a failure, which is noted. */
  toDriverError(error: unknown): DriverError {
    if (error instanceof DriverError) return error;
    const kind = this.#dialect.classify(error);
    if (kind === "failed" || kind === "readOnly" || kind === "noSpace") this.#begin(kind, error);
    const told = kind === "readOnly" || kind === "retry" ? "failed" : kind;
    const state = isUnreachable(error) ? "cannot be reached" : "refused it";
    return new DriverError(told, `Cannot carry out request: ${this.#dialect.product} ${state}`, { cause: error });
  }

  /** Something worked: a trouble that kept it from working is over. */
  worked(what: "read" | "write"): void {
    if (this.#trouble === undefined || (what === "read" && this.#trouble.state !== "failed")) return;
    const durationMs = Math.round(performance.now() - this.#trouble.since);
    this.#trouble = undefined;
    this.#log.info({ durationMs }, "the database can be used again");
  }

  #begin(state: State, error: unknown): void {
    if (this.#trouble?.state === state) return;
    this.#trouble = { state, since: this.#trouble?.since ?? performance.now() };
    const { message, hint } = STATES[state];
    this.#log.warn({ error, hint }, message);
  }
}
