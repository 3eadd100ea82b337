/** Frame types of RFC 9113 section 6. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Frame flags; their meaning depends on the type. */
export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const FRAME_HEAD_BYTES = 9;
/** Payload every peer takes, and the most we take: the initial SETTINGS_MAX_FRAME_SIZE. */
export const FRAME_PAYLOAD_MAX = 16_384;
/** Largest flow-control window. */
export const WINDOW_MAX = 2_147_483_647;
/** Window of the connection, and of each stream until a setting says otherwise. */
export const WINDOW_DEFAULT = 65_535;
/** What a client sends first (RFC 9113 section 3.4), before its SETTINGS. */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  /** Bytes of the payload. */
  readonly length: number;
}

/** Writes the nine bytes at `offset` and returns the offset behind them. */
export function writeFrameHead(bytes: Buffer, offset: number, { type, flags, streamId, length }: FrameHead): number {
  bytes[offset] = length >>> 16;
  bytes[offset + 1] = (length >>> 8) & 0xff;
  bytes[offset + 2] = length & 0xff;
  bytes[offset + 3] = type;
  bytes[offset + 4] = flags;
  bytes[offset + 5] = streamId >>> 24;
  bytes[offset + 6] = (streamId >>> 16) & 0xff;
  bytes[offset + 7] = (streamId >>> 8) & 0xff;
  bytes[offset + 8] = streamId & 0xff;
  return offset + FRAME_HEAD_BYTES;
}
