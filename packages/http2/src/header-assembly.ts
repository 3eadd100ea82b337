import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, type FrameHead } from "./frame.ts";

/** A received frame, as FrameReader describes it. */
export interface ReceivedFrame extends FrameHead {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

const PRIORITY_BYTES = 5;
const CONTINUATIONS_MAX = 128;

/** A header block and the HEADERS frame it began with. */
export interface HeaderBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly block: Buffer;
}

/** Puts the header blocks of a connection together from HEADERS and CONTINUATION frames. Throws ConnectionError. */
export class HeaderAssembly {
  readonly #bytesMax: number;
  #streamId = 0;
  #endStream = false;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The stream whose block is incomplete; 0: none. */
  get streamId(): number {
    return this.#streamId;
  }

  /** A HEADERS frame. Returns the block if it is complete. */
  begin(frame: ReceivedFrame): HeaderBlock | undefined {
    const part = fragment(frame);
    const endStream = (frame.flags & Flag.endStream) !== 0;
    if ((frame.flags & Flag.endHeaders) !== 0) return { streamId: frame.streamId, endStream, block: part };
    this.#streamId = frame.streamId;
    this.#endStream = endStream;
    this.#append(part);
    return undefined;
  }

  /** A CONTINUATION frame. Returns the block if it is complete. */
  append(frame: ReceivedFrame): HeaderBlock | undefined {
    if (frame.streamId !== this.#streamId)
      throw new ConnectionError(ErrorCode.protocolError, "CONTINUATION without HEADERS");
    this.#append(frame.bytes.subarray(frame.start, frame.end));
    if ((frame.flags & Flag.endHeaders) === 0) return undefined;
    const whole = { streamId: this.#streamId, endStream: this.#endStream, block: Buffer.concat(this.#parts) };
    this.#streamId = 0;
    this.#parts = [];
    this.#bytes = 0;
    return whole;
  }

  #append(part: Buffer): void {
    this.#bytes += part.length;
    this.#parts.push(part);
    if (this.#bytes > this.#bytesMax || this.#parts.length > CONTINUATIONS_MAX)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "header section too large");
  }
}

/** The payload of a DATA or HEADERS frame without its padding. Throws ConnectionError. */
export function unpadded({ flags, bytes, start, end }: ReceivedFrame): { start: number; end: number } {
  if ((flags & Flag.padded) === 0) return { start, end };
  const padding = start < end ? (bytes[start] ?? 0) : -1;
  if (padding < 0) throw new ConnectionError(ErrorCode.frameSizeError, "padded frame without padding length");
  if (padding > end - start - 1) throw new ConnectionError(ErrorCode.protocolError, "padding longer than its frame");
  return { start: start + 1, end: end - padding };
}

/** Priorities have no meaning any more (RFC 9113 section 5.3) and are passed over. */
function fragment(frame: ReceivedFrame): Buffer {
  const { start, end } = unpadded(frame);
  const first = (frame.flags & Flag.priority) === 0 ? start : start + PRIORITY_BYTES;
  if (first > end) throw new ConnectionError(ErrorCode.frameSizeError, "HEADERS without its priority");
  return frame.bytes.subarray(first, end);
}
