import { maskedCrc32c } from "./crc32c.ts";
import { decodeBlock, S2FormatError } from "./s2-block.ts";

const COMPRESSED = 0x00;
const UNCOMPRESSED = 0x01;
const STREAM_START = 0xff;
/** Chunk types from here to 0xfe may be skipped: padding, indexes. */
const FIRST_SKIPPABLE = 0x80;
const HEADER_BYTES = 4;
const SUM_BYTES = 4;
/** Snappy's limit for one chunk; S2's is 4 MiB. */
const SNAPPY_CHUNK_BYTES = 65_536;
const S2_CHUNK_BYTES = 4 << 20;
/** Above what any etcd request can hold, in base 64: bounds what a damaged message can ask for. */
const MAX_STREAM_BYTES = 64 << 20;

const SNAPPY_START = Buffer.concat([chunkHeader(STREAM_START, 6), Buffer.from("sNaPpY")]);
const MAGICS = ["sNaPpY", "S2sTwO"];

/** A stream that every reader of Snappy's or S2's framing format takes. The chunks are not compressed: time on the event loop is dearer. */
export function writeFrames(bytes: Buffer): Buffer {
  const parts: Buffer[] = [SNAPPY_START];
  for (let start = 0; start < bytes.length; start += SNAPPY_CHUNK_BYTES) {
    const chunk = bytes.subarray(start, start + SNAPPY_CHUNK_BYTES);
    const sum = Buffer.alloc(SUM_BYTES);
    sum.writeUInt32LE(maskedCrc32c(chunk));
    parts.push(chunkHeader(UNCOMPRESSED, SUM_BYTES + chunk.length), sum, chunk);
  }
  return Buffer.concat(parts);
}

/** Length of what {@link writeFrames} makes of so many bytes. */
export function framedBytes(bytes: number): number {
  return SNAPPY_START.length + bytes + Math.ceil(bytes / SNAPPY_CHUNK_BYTES) * (HEADER_BYTES + SUM_BYTES);
}

/** What a stream of Snappy's or S2's framing format holds. Throws S2FormatError when it is damaged or something else. */
export function readFrames(stream: Uint8Array): Buffer {
  const bytes = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  const parts: Buffer[] = [];
  let total = 0;
  for (let position = 0; position < bytes.length;) {
    if (position + HEADER_BYTES > bytes.length)
      throw new S2FormatError("Cannot read S2 stream: it ends in a chunk header");
    const type = bytes.readUInt8(position);
    const start = position + HEADER_BYTES;
    position = start + bytes.readUIntLE(position + 1, 3);
    if (position > bytes.length) throw new S2FormatError("Cannot read S2 stream: it ends in a chunk");
    const part = readChunk(type, bytes.subarray(start, position), start === HEADER_BYTES);
    total += part.length;
    if (total > MAX_STREAM_BYTES) throw new S2FormatError("Cannot read S2 stream: it holds more than 64 MiB");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function readChunk(type: number, body: Buffer, isFirst: boolean): Buffer {
  if (isFirst && type !== STREAM_START) throw new S2FormatError("Cannot read S2 stream: it does not begin as one");
  if (type === STREAM_START) {
    if (MAGICS.includes(body.toString("latin1"))) return Buffer.alloc(0);
    throw new S2FormatError("Cannot read S2 stream: its start names another format");
  }
  if (type >= FIRST_SKIPPABLE) return Buffer.alloc(0);
  if (type !== COMPRESSED && type !== UNCOMPRESSED)
    throw new S2FormatError(`Cannot read S2 stream: chunk type ${type} is unknown`);
  if (body.length < SUM_BYTES) throw new S2FormatError("Cannot read S2 stream: a chunk has no checksum");
  const content = body.subarray(SUM_BYTES);
  const data = type === COMPRESSED ? decodeBlock(content, S2_CHUNK_BYTES) : content;
  if (maskedCrc32c(data) !== body.readUInt32LE()) throw new S2FormatError("Cannot read S2 stream: a checksum is wrong");
  return data;
}

function chunkHeader(type: number, length: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(type);
  header.writeUIntLE(length, 1, 3);
  return header;
}
