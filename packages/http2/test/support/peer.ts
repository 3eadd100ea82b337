import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { deadline } from "@k3s/async";
import { Flag, FRAME_HEAD_BYTES, FrameType, PREFACE, writeFrameHead } from "../../src/frame.ts";
import { FrameReader } from "../../src/frame-reader.ts";
import { HpackDecoder } from "../../src/hpack/hpack-decoder.ts";

/** Nothing in these tests takes longer unless it hangs. */
const PATIENCE_MS = 20_000;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A frame that came in, with its fields if it is HEADERS. */
export interface ReceivedFrame extends Frame {
  readonly fields: ReadonlyMap<string, string>;
}

/** The bytes of one frame; `length` may lie. */
export function frame(head: Partial<Frame> & { readonly length?: number }): Buffer {
  const { type = 0, flags = 0, streamId = 0, payload = Buffer.alloc(0), length = payload.length } = head;
  const bytes = Buffer.alloc(FRAME_HEAD_BYTES);
  writeFrameHead(bytes, 0, { type, flags, streamId, length });
  return Buffer.concat([bytes, payload]);
}

/** A header block of literals that leave every table alone. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.of(0), string(name), string(value)])));
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length = bytes.length < 127 ? [bytes.length] : [127, ...varint(bytes.length - 127)];
  return Buffer.concat([Buffer.from(length), bytes]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

/** The pseudo-header fields of a request for `path`. */
export function request(path: string, method = "POST"): [string, string][] {
  return [
    [":method", method],
    [":scheme", "http"],
    [":path", path],
    [":authority", "test"],
  ];
}

export const send = {
  headers: (
    streamId: number,
    fields: readonly (readonly [string, string])[],
    options: { readonly end?: boolean } = {},
  ) =>
    frame({
      type: FrameType.headers,
      flags: Flag.endHeaders | (options.end === true ? Flag.endStream : 0),
      streamId,
      payload: block(fields),
    }),
  data: (streamId: number, payload: Buffer, options: { readonly end?: boolean } = {}) =>
    frame({ type: FrameType.data, flags: options.end === true ? Flag.endStream : 0, streamId, payload }),
  settings: (...settings: readonly (readonly [id: number, value: number])[]) =>
    frame({ type: FrameType.settings, payload: Buffer.concat(settings.map(([id, value]) => setting(id, value))) }),
  windowUpdate: (streamId: number, increment: number) =>
    frame({ type: FrameType.windowUpdate, streamId, payload: uint32(increment) }),
  reset: (streamId: number, code = 8) => frame({ type: FrameType.rstStream, streamId, payload: uint32(code) }),
  ping: (text = "01234567", encoding: BufferEncoding = "latin1") =>
    frame({ type: FrameType.ping, payload: Buffer.from(text, encoding) }),
};

function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export interface Answer {
  readonly head: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly trailers: ReadonlyMap<string, string>;
}

/** A client that sends what it is told to, right or wrong, and shows what comes back frame by frame. */
export class Peer {
  readonly socket: Duplex;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder({ listSizeMax: 1 << 20 });
  #frames: ReceivedFrame[] = [];
  #isClosed = false;
  #changed = Promise.withResolvers<void>();

  /** On what is connected already. */
  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.#isClosed = true;
      this.#changed.resolve();
    });
  }

  /** Connects and says nothing. */
  static async connect(t: TestContext, port: number, options: { readonly tls?: boolean } = {}): Promise<Peer> {
    const socket =
      options.tls === true
        ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] })
        : connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    await once(socket, options.tls === true ? "secureConnect" : "connect");
    return new Peer(socket);
  }

  /** Connects and exchanges prefaces with the server. */
  static async open(t: TestContext, port: number, options: { readonly tls?: boolean } = {}): Promise<Peer> {
    const peer = await Peer.connect(t, port, options);
    await peer.greet();
    return peer;
  }

  /** Exchanges prefaces with the server. */
  async greet(): Promise<void> {
    this.write(PREFACE, send.settings());
    await this.take(FrameType.settings);
    await this.take(FrameType.settings);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  write(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** The next frame of that type, passing over others. Rejects when the connection ends before. */
  async take(type: number): Promise<ReceivedFrame> {
    return await this.#waitFor(`frame of type ${type}`, () => this.#shift((one) => one.type === type));
  }

  /** The next frame of that stream. */
  async takeOf(streamId: number): Promise<ReceivedFrame> {
    return await this.#waitFor(`frame of stream ${streamId}`, () => this.#shift((one) => one.streamId === streamId));
  }

  /** What has come in of that stream, or of all. */
  takeAll(streamId: number | undefined): ReceivedFrame[] {
    const taken = this.#frames.filter((one) => streamId === undefined || one.streamId === streamId);
    this.#frames = this.#frames.filter((one) => !taken.includes(one));
    return taken;
  }

  /** The frames of a whole answer to `streamId`. */
  async answer(streamId: number): Promise<Answer> {
    const none: ReadonlyMap<string, string> = new Map();
    const answer = { head: none, body: Buffer.alloc(0), trailers: none };
    for (let isFirst = true; ; isFirst = false) {
      const { type, flags, payload, fields } = await this.takeOf(streamId);
      if (type === FrameType.rstStream) throw new Error(`Stream was reset with code ${payload.readUInt32BE(0)}`);
      if (type === FrameType.data) answer.body = Buffer.concat([answer.body, payload]);
      if (type === FrameType.headers) answer[isFirst ? "head" : "trailers"] = fields;
      if ((flags & Flag.endStream) !== 0) return answer;
    }
  }

  /** Code and text of the GOAWAY with an error that the server sends, once it has closed the connection. */
  async failure(): Promise<{ readonly code: number; readonly text: string }> {
    for (;;) {
      const { payload } = await this.take(FrameType.goaway);
      const code = payload.readUInt32BE(4);
      if (code !== 0) {
        await this.closed();
        return { code, text: payload.subarray(8).toString() };
      }
    }
  }

  /** Shows that the connection works: the server answers a request. */
  async assertAlive(streamId: number): Promise<void> {
    this.write(send.headers(streamId, request("/echo"), { end: true }));
    const { head } = await this.answer(streamId);
    if (head.get(":status") !== "200") throw new Error("Connection does not work any more");
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    await this.#waitFor("end of the connection", () => (this.#isClosed ? true : undefined));
  }

  #shift(accept: (frame: Frame) => boolean): ReceivedFrame | undefined {
    const index = this.#frames.findIndex(accept);
    return index < 0 ? undefined : this.#frames.splice(index, 1)[0];
  }

  async #waitFor<T>(what: string, look: () => T | undefined): Promise<T> {
    using limit = deadline(PATIENCE_MS, `Waiting for ${what}`);
    const late = Promise.withResolvers<never>();
    limit.addEventListener("abort", () => late.reject(limit.reason as Error), { once: true });
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.#isClosed) throw new Error(`Connection ended before ${what}`);
      this.#changed = Promise.withResolvers();
      await Promise.race([this.#changed.promise, late.promise]);
    }
  }

  #receive(chunk: Buffer): void {
    this.#reader.feed(chunk);
    while (this.#reader.next()) {
      const { type, flags, streamId } = this.#reader;
      const payload = Buffer.from(this.#reader.payload());
      const fields = type === FrameType.headers ? (this.#decoder.decode(payload) ?? []) : [];
      const byName = new Map(fields.map(({ name, value }) => [name, value]));
      this.#frames.push({ type, flags, streamId, payload, fields: byName });
    }
    this.#changed.resolve();
  }
}
