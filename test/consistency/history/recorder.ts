import type { Connection } from "../wire/connection.ts";
import type { Operation, Outcome, Request } from "./operation.ts";
import type { Received, WatchRequest, WatchSession } from "./watch-session.ts";

/** A watch while it goes on. */
export interface OpenSession extends WatchSession {
  readonly messages: Received[];
  cancelRequestedAt: number;
  goal: number;
}

/** Collects what all clients of one round do and see, on one monotonic clock. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly sessions: OpenSession[] = [];
  readonly #startedAt = performance.now();

  /** Milliseconds since the round began. */
  now(): number {
    return performance.now() - this.#startedAt;
  }

  /** Carries out a request and notes it. */
  async perform(client: string, connection: Connection, request: Request): Promise<Outcome> {
    const invokedAt = this.now();
    const outcome = await connection.perform(request);
    const id = this.operations.length;
    this.operations.push({ id, client, request, invokedAt, returnedAt: this.now(), outcome });
    return outcome;
  }

  openSession(watcher: string, request: WatchRequest): OpenSession {
    const id = this.sessions.length;
    const never = { cancelRequestedAt: Number.POSITIVE_INFINITY, goal: 0 };
    const session: OpenSession = { id, watcher, request, requestedAt: this.now(), messages: [], ...never };
    this.sessions.push(session);
    return session;
  }
}
