import type { SessionKind } from "./parse-postgres-dsn.ts";

/** A server answers, but is not what `target_session_attrs`, or a driver that writes, asks for: it may be on the way to it. */
export class UnwantedServer extends Error {
  override readonly name = "UnwantedServer";

  constructor(kind: SessionKind) {
    super(`Cannot use server: it is not ${kind}, as target_session_attrs or writing asks`);
  }
}
