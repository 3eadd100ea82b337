import { WINDOW_DEFAULT, WINDOW_MAX } from "./frame.ts";
import type { PingPolicy } from "./ping-policy.ts";
import type { Rate } from "./token-bucket.ts";

/** What one connection may cost. Times are looked at once per {@link Limits.sweepMs}. */
export interface Limits {
  /** Streams at a time, with those that are gone while their request is still being worked on. */
  readonly streamsMax: number;
  /** Size of a request's header section, as RFC 9113 section 10.5.1 counts it; also the limit of its encoded form. */
  readonly headerListBytesMax: number;
  /** What a peer may send ahead on one stream. */
  readonly streamWindowBytes: number;
  /** What a peer may send ahead on all streams together. */
  readonly connectionWindowBytes: number;
  /** With more than this received and not yet credited by the listeners, or still worked on, a stream that gets more is reset. */
  readonly unreadBytesMax: number;
  /** A stream with this much waiting asks its user to stop, and asks for more at half of it. */
  readonly sendQueueBytes: number;
  /**
   * With more than this waiting on all connections, those that have taken nothing for {@link Limits.pressedStallMs} are
   * cut, the fullest first.
   */
  readonly queuedBytesMax: number;
  readonly pressedStallMs: number;
  /** Streams the peer resets. */
  readonly resets: Rate;
  /** Frames that carry nothing: SETTINGS, PRIORITY, CONTINUATION, empty DATA, unknown types. */
  readonly idleFrames: Rate;
  readonly pings: PingPolicy;
  /** From the first byte to the end of the client's preface, and for each header section. */
  readonly prefaceMs: number;
  /** A connection on which nothing was heard for so long is sent a ping. */
  readonly keepaliveMs: number;
  /** Time for the answer to that ping. */
  readonly keepaliveTimeoutMs: number;
  /** A connection that has something to send and cannot for so long is cut. */
  readonly stallMs: number;
  /** A connection without streams is closed after so long. */
  readonly idleMs: number;
  /** Between GOAWAY and the end of a connection that failed, or has nothing left to send. */
  readonly lingerMs: number;
  readonly sweepMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Fit for a server on loopback that has some hundreds of clients which it knows. */
const DEFAULT_LIMITS: Limits = {
  streamsMax: 65_536,
  headerListBytesMax: 65_536,
  streamWindowBytes: 1 << 20,
  connectionWindowBytes: 4 << 20,
  unreadBytesMax: 256 << 20,
  sendQueueBytes: 64 << 10,
  queuedBytesMax: 256 << 20,
  pressedStallMs: 5_000,
  resets: { burst: 20_000, perSecond: 2_000 },
  idleFrames: { burst: 1_000, perSecond: 100 },
  pings: { intervalMinMs: 5_000, idleIntervalMinMs: 2 * HOUR_MS, strikesMax: 2 },
  prefaceMs: 10_000,
  keepaliveMs: 2 * HOUR_MS,
  keepaliveTimeoutMs: 20_000,
  stallMs: 10 * MINUTE_MS,
  idleMs: Infinity,
  lingerMs: 2_000,
  sweepMs: 1_000,
};

/** Throws RangeError for windows that HTTP/2 cannot express. */
export function completeLimits(limits: Partial<Limits>): Limits {
  const all = { ...DEFAULT_LIMITS, ...limits };
  for (const name of ["streamWindowBytes", "connectionWindowBytes"] as const)
    if (all[name] < WINDOW_DEFAULT || all[name] > WINDOW_MAX)
      throw new RangeError(`${name} must be from ${WINDOW_DEFAULT} to ${WINDOW_MAX}: current value is ${all[name]}`);
  return all;
}
