import { ProtocolError } from "./errors.ts";
import { readSafeVarint, readVarint, VARINT_BYTES_MAX, writeVarint, type Decoded, type VarintFault } from "./varint.ts";

/** Who a Connect wants to reach: `tcp`, `127.0.0.1:10250`. */
export interface DialTarget {
  readonly network: string;
  readonly address: string;
}

/** What one message of the websocket says (rancher/remotedialer, message.go). */
export type FrameBody =
  | { readonly type: "data"; readonly connection: number; readonly payload: Buffer }
  | { readonly type: "connect"; readonly connection: number; readonly target: DialTarget }
  | { readonly type: "error"; readonly connection: number; readonly text: string }
  | { readonly type: "pause" | "resume"; readonly connection: number }
  | { readonly type: "addClient" | "removeClient"; readonly connection: number; readonly client: string }
  | { readonly type: "sync"; readonly connection: number; readonly connections: readonly number[] }
  | { readonly type: "unknown"; readonly connection: number; readonly code: bigint };

/** `id` counts the frames of a process and means nothing to the receiver. */
export type Frame = FrameBody & { readonly id: bigint };

const CODES = { data: 1, connect: 2, error: 3, addClient: 4, removeClient: 5, pause: 6, resume: 7, sync: 8 } as const;

/** The text of an Error that is no failure: the other side closed the connection. */
export const EOF = "EOF";
/** Sent with Data and Connect, and read by nobody: a time limit in ms of old versions. */
const DEADLINE = 15_000;
const HEADER_BYTES_MAX = 4 * VARINT_BYTES_MAX;
const CONNECT_BYTES_MAX = 266;
const TEXT_BYTES_MAX = 100;
const ID_BYTES = 8;
const NOTHING = Buffer.alloc(0);

/** Room for the frame of a payload of `payloadBytes` bytes. */
export function frameRoom(payloadBytes: number): number {
  return HEADER_BYTES_MAX + payloadBytes;
}

/** The bytes of one frame. Longer texts are cut to what a receiver reads of them. */
export function encodeFrame(frame: Exclude<Frame, { type: "unknown" }>): Buffer {
  const payload = payloadOf(frame);
  return writeFrame(Buffer.allocUnsafe(frameRoom(payload.length)), frame, payload);
}

/** {@link encodeFrame} into memory of the caller, with at least {@link frameRoom}; returns the part that was used. */
export function encodeDataInto(room: Buffer, frame: Extract<Frame, { type: "data" }>): Buffer {
  return writeFrame(room, frame, frame.payload);
}

function writeFrame(room: Buffer, frame: Exclude<Frame, { type: "unknown" }>, payload: Uint8Array): Buffer {
  const code = CODES[frame.type];
  let at = writeVarint(room, 0, frame.id);
  at = writeVarint(room, at, frame.connection);
  at = writeVarint(room, at, code);
  if (hasDeadline(code)) at = writeVarint(room, at, DEADLINE);
  room.set(payload, at);
  return room.subarray(0, at + payload.length);
}

/** Reads one frame; its payload is a view of `bytes`. Throws ProtocolError when they are none. */
export function decodeFrame(bytes: Buffer): Frame {
  const id = must(readVarint(bytes, 0), "id");
  const connection = must(readSafeVarint(bytes, id.next), "connection");
  const code = must(readVarint(bytes, connection.next), "type");
  const start = hasDeadline(Number(code.value)) ? must(readVarint(bytes, code.next), "deadline").next : code.next;
  const head = { id: id.value, connection: connection.value };
  return { ...head, ...readBody(code.value, bytes.subarray(start)) };
}

type Body = FrameBody extends infer Each ? (Each extends FrameBody ? Omit<Each, "connection"> : never) : never;

function readBody(code: bigint, payload: Buffer): Body {
  switch (Number(code)) {
    case CODES.data:
      return { type: "data", payload };
    case CODES.connect:
      return { type: "connect", target: readTarget(payload) };
    case CODES.error:
      return { type: "error", text: readText(payload) };
    case CODES.addClient:
      return { type: "addClient", client: readText(payload) };
    case CODES.removeClient:
      return { type: "removeClient", client: readText(payload) };
    case CODES.pause:
      return { type: "pause" };
    case CODES.resume:
      return { type: "resume" };
    case CODES.sync:
      return { type: "sync", connections: readIds(payload) };
    default:
      return { type: "unknown", code };
  }
}

function payloadOf(frame: Exclude<Frame, { type: "unknown" }>): Uint8Array {
  switch (frame.type) {
    case "data":
      return frame.payload;
    case "connect":
      return connectBytes(frame.target);
    case "error":
      return shortened(frame.text);
    case "addClient":
    case "removeClient":
      return shortened(frame.client);
    case "sync":
      return idBytes(frame.connections);
    case "pause":
    case "resume":
      return NOTHING;
  }
}

function hasDeadline(code: number): boolean {
  return code === CODES.data || code === CODES.connect;
}

function connectBytes({ network, address }: DialTarget): Buffer {
  const bytes = Buffer.from(`${network}/${address}`);
  if (network === "" || network.includes("/") || bytes.length > CONNECT_BYTES_MAX)
    throw new RangeError(
      `Cannot encode Connect: "${network}/${address.slice(0, 64)}" is no target of at most 266 bytes`,
    );
  return bytes;
}

function readTarget(payload: Buffer): DialTarget {
  const text = payload.toString("utf8", 0, CONNECT_BYTES_MAX);
  const slash = text.indexOf("/");
  if (slash < 0) throw new ProtocolError("a Connect without protocol and address");
  return { network: text.slice(0, slash), address: text.slice(slash + 1) };
}

function readText(payload: Buffer): string {
  return payload.toString("utf8", 0, TEXT_BYTES_MAX);
}

/** Cut between two characters, so that the receiver's own cut finds nothing to break. */
function shortened(text: string): Buffer {
  const bytes = Buffer.from(text);
  let end = Math.min(bytes.length, TEXT_BYTES_MAX);
  if (end < bytes.length) while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

function idBytes(ids: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(ids.length * ID_BYTES);
  ids.toSorted((a, b) => a - b).forEach((id, index) => bytes.writeBigInt64LE(BigInt(id), index * ID_BYTES));
  return bytes;
}

function readIds(payload: Buffer): readonly number[] {
  if (payload.length % ID_BYTES !== 0) throw new ProtocolError("a SyncConnections with a part of an ID");
  const ids: number[] = [];
  for (let at = 0; at < payload.length; at += ID_BYTES) ids.push(Number(payload.readBigInt64LE(at)));
  return ids;
}

function must<T>(read: Decoded<T> | VarintFault, field: string): Decoded<T> {
  if (typeof read === "string") throw new ProtocolError(`a frame whose ${field} is ${read}`);
  return read;
}
