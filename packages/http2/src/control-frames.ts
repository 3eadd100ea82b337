import { FRAME_HEAD_BYTES, Flag, FrameType, writeFrameHead } from "./frame.ts";
import type { ErrorCode } from "./error-code.ts";

const DEBUG_BYTES_MAX = 256;

/** Settings by their number in RFC 9113 section 6.5.2. */
export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const { frame, at } = start({ type: FrameType.settings, flags: 0, streamId: 0, length: 6 * settings.length });
  settings.forEach(([id, value], i) => {
    frame.writeUInt16BE(id, at + 6 * i);
    frame.writeUInt32BE(value, at + 6 * i + 2);
  });
  return frame;
}

export function settingsAckFrame(): Buffer {
  return start({ type: FrameType.settings, flags: Flag.ack, streamId: 0, length: 0 }).frame;
}

/** `data`: eight bytes. */
export function pingFrame(data: Uint8Array, options: { readonly isAck: boolean }): Buffer {
  const flags = options.isAck ? Flag.ack : 0;
  const { frame, at } = start({ type: FrameType.ping, flags, streamId: 0, length: 8 });
  frame.set(data, at);
  return frame;
}

export function goawayFrame(lastStreamId: number, code: ErrorCode, debug = ""): Buffer {
  const text = Buffer.from(debug, "utf8").subarray(0, DEBUG_BYTES_MAX);
  const { frame, at } = start({ type: FrameType.goaway, flags: 0, streamId: 0, length: 8 + text.length });
  frame.writeUInt32BE(lastStreamId, at);
  frame.writeUInt32BE(code, at + 4);
  frame.set(text, at + 8);
  return frame;
}

export function rstStreamFrame(streamId: number, code: ErrorCode): Buffer {
  const { frame, at } = start({ type: FrameType.rstStream, flags: 0, streamId, length: 4 });
  frame.writeUInt32BE(code, at);
  return frame;
}

/** `streamId` 0: the connection's window. */
export function windowUpdateFrame(streamId: number, increment: number): Buffer {
  const { frame, at } = start({ type: FrameType.windowUpdate, flags: 0, streamId, length: 4 });
  frame.writeUInt32BE(increment, at);
  return frame;
}

function start(head: Parameters<typeof writeFrameHead>[2]): { readonly frame: Buffer; readonly at: number } {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + head.length);
  return { frame, at: writeFrameHead(frame, 0, head) };
}
