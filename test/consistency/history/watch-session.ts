import type { ByteText } from "../wire/bytes.ts";
import type { EndpointTraits } from "./endpoint-traits.ts";
import type { KeyValue, Span } from "./operation.ts";

export interface WatchRequest extends Span {
  /** 0: from now on. */
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  readonly kv: KeyValue;
  readonly prevKv: KeyValue | undefined;
}

/** One message of a watch stream, as decoded. */
export interface WatchMessage {
  /** Of the header. */
  readonly revision: number;
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: ByteText;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

/** A message with the ms on the history's clock at which it was read. */
export interface Received extends WatchMessage {
  readonly at: number;
}

/** One watch on one stream from its request to its end, with every message that concerned it. */
export interface WatchSession {
  readonly id: number;
  readonly watcher: string;
  readonly request: WatchRequest;
  readonly requestedAt: number;
  readonly messages: readonly Received[];
  /** When the watcher asked for the end of this watch; Infinity: never. */
  readonly cancelRequestedAt: number;
  /** Revision that the watch had to reach before the round was over; 0: it was ended before. */
  readonly goal: number;
}

/** Whether a message without events, before any with events, is about this watch for certain: that it has been told all up to that revision. */
export function isOwnProgress(
  { request, messages: [created] }: WatchSession,
  message: WatchMessage,
  traits: EndpointTraits,
): boolean {
  const mayBeOlder = request.startRevision > 0 && message.revision <= (created?.revision ?? 0);
  return !traits.overtakesProgress || !mayBeOlder;
}
