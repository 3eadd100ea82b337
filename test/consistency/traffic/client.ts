import { sleep } from "@k3s/async";
import type { Operation, Outcome, RangeRequest, RangeResponse, Request } from "../history/operation.ts";
import type { Recorder } from "../history/recorder.ts";
import { Connection } from "../wire/connection.ts";

/** How long a client waits for a server that went away: several starts on a busy machine, each of which may take a minute. */
const RETURN_LIMIT_MS = 180_000;
/** Of what a round cannot do without: some ten seconds of a database that comes back. */
export const MUST_ATTEMPTS = 100;
/** Each unknown outcome doubles what may have happened: a server whose database is away must not make too many. */
const UNKNOWN_PAUSE_MS = 100;

/** One recording client with its own connection. */
export class TrafficClient implements Disposable {
  readonly name: string;
  readonly #recorder: Recorder;
  readonly #connection: Connection;
  #values = 0;

  constructor(name: string, target: string, recorder: Recorder) {
    this.name = name;
    this.#recorder = recorder;
    this.#connection = new Connection(target);
  }

  /** A value that no other write has. */
  nextValue(): string {
    return `${this.name}.${this.#values++}`;
  }

  /** Carries out a request. After an unknown outcome it waits until the server can be reached again. */
  async perform(request: Request): Promise<Outcome> {
    const outcome = await this.#recorder.perform(this.name, this.#connection, request);
    if (outcome.kind !== "unknown") return outcome;
    await sleep(UNKNOWN_PAUSE_MS);
    await this.#connection.ready(RETURN_LIMIT_MS);
    return outcome;
  }

  /** Answers undefined when there was no answer, or a refusal. */
  async range(request: Omit<RangeRequest, "kind">): Promise<RangeResponse | undefined> {
    const outcome = await this.perform({ kind: "range", ...request });
    return outcome.kind === "ok" && outcome.response.kind === "range" ? outcome.response : undefined;
  }

  /** As {@link range}, again and again until it is answered; for what a round cannot do without. */
  async mustRange(request: Omit<RangeRequest, "kind">): Promise<RangeResponse> {
    for (let attempt = 0; attempt < MUST_ATTEMPTS; attempt++) {
      const response = await this.range(request);
      if (response !== undefined) return response;
    }
    throw new Error(`Cannot read keys: ${describeLast(this.#recorder.operations.at(-1))}`);
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

function describeLast(operation: Operation | undefined): string {
  return JSON.stringify(operation?.outcome);
}
