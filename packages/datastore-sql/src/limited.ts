import { deadline, soonAfter } from "@k3s/async";
import type { SqlSession } from "./dialect.ts";

/** A destroyed connection gets this long to reject what ran on it with its own error. */
const LAST_WORD_MS = 50;

/** What is about to run, for messages, and how long it may take. */
export interface Limit {
  readonly what: string;
  readonly ms: number;
}

/** What ran on a session was given up: nobody refused it. */
export class TookTooLong extends Error {
  override readonly name = "TookTooLong";

  constructor({ what, ms }: Limit) {
    super(`${what} took longer than ${Math.round(ms / 100) / 10} s`);
  }
}

/**
 * Runs `task` on a session and drops the session when it takes too long: a database that does not answer leaves a connection in an
 * unknown state, and nobody can wait for it for ever. Rejects with TookTooLong then.
 */
export async function limited<Session extends SqlSession, T>(
  session: Session,
  { what, ms }: Limit,
  task: (session: Session) => Promise<T>,
): Promise<T> {
  using limit = deadline(ms, what);
  let reason: TookTooLong | undefined;
  const late = () => (reason ??= new TookTooLong({ what, ms }));
  const drop = () => session.destroy(late());
  limit.addEventListener("abort", drop, { once: true });
  try {
    return await soonAfter(task(session), { signal: limit, ms: LAST_WORD_MS, late });
  } catch (error) {
    throw limit.aborted ? late() : error;
  } finally {
    limit.removeEventListener("abort", drop);
  }
}
