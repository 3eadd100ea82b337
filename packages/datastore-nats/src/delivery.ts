import type { Msg } from "@nats-io/transport-node";
import type { StoredMessage } from "./row-record.ts";

/** A message that a consumer of JetStream delivered. */
export interface Delivery {
  readonly message: StoredMessage;
  /** Counts what this consumer delivered, from 1. */
  readonly count: number;
  /** What the consumer had left to deliver behind it. */
  readonly pending: number;
}

/** Tokens of the subject of a delivery, from the stream on; newer servers put domain and account in front of it. */
const TOKENS = 7;
const PREFIX = "$JS.ACK.";

/** undefined: a message that is no delivery, such as a heartbeat. */
export function parseDelivery(message: Msg, headersOnly: boolean): Delivery | undefined {
  const { reply, subject, headers, data } = message;
  if (reply?.startsWith(PREFIX) !== true) return undefined;
  const tokens = reply.slice(PREFIX.length).split(".");
  const start = tokens.length > TOKENS ? 2 : 0;
  const [, , , seq, count, , pending] = tokens.slice(start, start + TOKENS).map(Number);
  if (seq === undefined || count === undefined || pending === undefined) return undefined;
  const header = (name: string) => headers?.get(name) ?? "";
  return { message: { seq, subject, header, data: headersOnly ? undefined : data }, count, pending };
}

/** The number in a message of the server's own, such as 404 "no messages"; 0: it is none. */
export function statusOf({ headers }: Msg): number {
  return headers?.code ?? 0;
}
