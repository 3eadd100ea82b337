import { once } from "node:events";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { deadline } from "@k3s/async";

// RFC 9113: frame types and flags that a gRPC call needs.
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const HEAD_BYTES = 9;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const PATIENCE_MS = 20_000;
const NOTHING: Buffer = Buffer.alloc(0);

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** How a call ended: the body of its answer, or the code the stream was reset with. */
type CallEnd = { readonly body: Buffer } | { readonly resetCode: number };

interface RawCall {
  readonly path: string;
  readonly message: Buffer;
  /** Further header fields, or other values for those that are sent anyway; undefined leaves one out. */
  readonly fields?: Readonly<Record<string, string | undefined>>;
}

/** A gRPC client that puts any header field on the wire, as it is and without compression. */
export class RawHttp2 {
  readonly #socket: Socket;
  readonly #calls = new Map<number, { body: Buffer[]; readonly end: PromiseWithResolvers<CallEnd> }>();
  #unread = Buffer.alloc(0);
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.#receive(bytes));
    socket.on("error", () => undefined);
    socket.once("close", () => this.#fail(new Error("Cannot go on: the connection is closed")));
    socket.write(Buffer.concat([PREFACE, frame({ type: SETTINGS })]));
  }

  static async connect(t: TestContext, where: NetConnectOpts): Promise<RawHttp2> {
    const socket = connect(where);
    t.after(() => socket.destroy());
    await once(socket, "connect");
    return new RawHttp2(socket);
  }

  /** On a socket that is connected; the caller destroys it. */
  static on(socket: Socket): RawHttp2 {
    return new RawHttp2(socket);
  }

  /** Resolves with the end of the call. Rejects when the connection ends before. */
  async call({ path, message, fields = {} }: RawCall): Promise<CallEnd> {
    const id = this.#nextId;
    this.#nextId += 2;
    const all = {
      ":method": "POST",
      ":scheme": "http",
      ":path": path,
      ":authority": "test",
      "content-type": "application/grpc",
      te: "trailers",
      ...fields,
    };
    const head = Object.entries(all).map(([name, value]) => (value === undefined ? [] : [literal(name, value)]));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    const end = Promise.withResolvers<CallEnd>();
    this.#calls.set(id, { body: [], end });
    this.#socket.write(
      Buffer.concat([
        frame({ type: HEADERS, flags: END_HEADERS, id, payload: Buffer.concat(head.flat()) }),
        frame({ type: DATA, flags: END_STREAM, id, payload: Buffer.concat([prefix, message]) }),
      ]),
    );
    using limit = deadline(PATIENCE_MS, "Waiting for the end of a call");
    limit.addEventListener("abort", () => end.reject(limit.reason as Error), { once: true });
    return await end.promise;
  }

  #receive(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    for (;;) {
      const length = this.#unread.length < HEAD_BYTES ? Infinity : this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < HEAD_BYTES + length) return;
      const [type = 0, flags = 0] = [this.#unread[3], this.#unread[4]];
      this.#take({
        type,
        flags,
        id: this.#unread.readUInt32BE(5),
        payload: this.#unread.subarray(HEAD_BYTES, HEAD_BYTES + length),
      });
      this.#unread = this.#unread.subarray(HEAD_BYTES + length);
    }
  }

  #take({ type, flags, id, payload }: Frame): void {
    const isAck = (flags & ACK) !== 0;
    if (type === SETTINGS && !isAck) this.#socket.write(frame({ type, flags: ACK }));
    else if (type === PING && !isAck) this.#socket.write(frame({ type, flags: ACK, payload }));
    else if (type === GOAWAY && payload.readUInt32BE(4) !== 0)
      this.#fail(new Error(`Cannot go on: the server left with code ${payload.readUInt32BE(4)}`));
    else this.#takeOfCall({ type, flags, id, payload });
  }

  #takeOfCall({ type, flags, id, payload }: Frame): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    if (type === DATA) call.body.push(Buffer.from(payload));
    if (type === RST_STREAM) this.#end(id, { resetCode: payload.readUInt32BE(0) });
    else if ((type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0)
      this.#end(id, { body: Buffer.concat(call.body).subarray(5) });
  }

  #end(id: number, end: CallEnd): void {
    this.#calls.get(id)?.end.resolve(end);
    this.#calls.delete(id);
  }

  #fail(error: Error): void {
    for (const { end } of this.#calls.values()) end.reject(error);
    this.#calls.clear();
  }
}

function frame({ type, flags = 0, id = 0, payload = NOTHING }: Partial<Frame> & Pick<Frame, "type">): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 7541 6.2.2: a field with a name of its own that enters no table. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length >= 127) throw new Error("Cannot write header: its value is too long for this client");
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}
