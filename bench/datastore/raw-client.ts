import { connect, type Socket } from "node:net";

/**
 * A gRPC client that does as little as possible, so that a bench measures the server: no header compression, no flow control
 * beyond windows that are topped up, unary calls and one kind of stream. RFC 9113, gRPC over HTTP/2.
 */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const FRAME_HEADER_BYTES = 9;
const GRPC_PREFIX_BYTES = 5;
const Frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;
const WINDOW = 2 ** 31 - 1;
const TOP_UP_BYTES = 2 ** 24;

interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

interface Call {
  readonly onMessage: (message: Buffer) => void;
  readonly onEnd: () => void;
  /** What came of an incomplete message. */
  parts: Buffer[];
  bytes: number;
  /** Below this many bytes it stays incomplete. */
  wanted: number;
}

/** Frames are handed over whole; what is left of a chunk waits for the next one. */
export class RawClient {
  readonly #socket: Socket;
  readonly #headers = new Map<string, Buffer>();
  readonly #calls = new Map<number, Call>();
  #nextStream = 1;
  #rest: Buffer = Buffer.alloc(0);
  #received = 0;
  #out: Buffer[] = [];
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#read(chunk));
    socket.on("error", (error) => (this.#failure = error));
    socket.on("close", () => this.#fail());
    // No dynamic table for the server's headers, windows as large as they get.
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(1, 0);
    settings.writeUInt16BE(4, 6);
    settings.writeUInt32BE(WINDOW, 8);
    socket.write(
      Buffer.concat([
        PREFACE,
        frame({ type: Frame.settings, flags: 0, stream: 0 }, settings),
        windowUpdate(WINDOW - 65_535),
      ]),
    );
  }

  /** `target` is `host:port` or the path of a unix socket. */
  static async connect(target: string): Promise<RawClient> {
    const [host = "", port] = target.split(":");
    const socket = port === undefined ? connect(target) : connect(Number(port), host);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new RawClient(socket);
  }

  /** Rejects when the answer has no message: then the call failed. */
  unary(path: string, request: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let answer: Buffer | undefined;
      const onEnd = () => {
        if (answer === undefined) reject(this.#failure ?? new Error(`Cannot call ${path}: it failed`));
        else resolve(answer);
      };
      const stream = this.#open(path, { onMessage: (message) => (answer = message), onEnd });
      this.#send(frame({ type: Frame.data, flags: END_STREAM, stream: stream }, message(request)));
    });
  }

  /** Opens a stream; the returned function sends on it. */
  stream(path: string, onMessage: (message: Buffer) => void): (request: Buffer) => void {
    const stream = this.#open(path, { onMessage, onEnd: () => undefined });
    return (request) => this.#send(frame({ type: Frame.data, flags: 0, stream: stream }, message(request)));
  }

  close(): void {
    this.#socket.destroy();
  }

  #open(path: string, handlers: Pick<Call, "onMessage" | "onEnd">): number {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#calls.set(stream, { ...handlers, parts: [], bytes: 0, wanted: GRPC_PREFIX_BYTES });
    let block = this.#headers.get(path);
    if (block === undefined) this.#headers.set(path, (block = requestHeaders(path)));
    this.#send(frame({ type: Frame.headers, flags: END_HEADERS, stream: stream }, block));
    return stream;
  }

  /** What one turn of the event loop sends goes out as one write. */
  #send(bytes: Buffer): void {
    if (this.#out.push(bytes) > 1) return;
    queueMicrotask(() => {
      const out = this.#out;
      this.#out = [];
      this.#socket.write(out.length === 1 ? (out[0] ?? bytes) : Buffer.concat(out));
    });
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + bytes.readUIntBE(0, 3);
      if (bytes.length < end) break;
      const flags = bytes.readUInt8(4);
      this.#take(bytes.readUInt8(3), { flags, stream: bytes.readUInt32BE(5), payload: bytes.subarray(9, end) });
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #take(type: number, { flags, stream, payload }: { flags: number; stream: number; payload: Buffer }): void {
    if (type === Frame.settings && (flags & ACK) === 0)
      this.#send(frame({ type: Frame.settings, flags: ACK, stream: 0 }, Buffer.alloc(0)));
    else if (type === Frame.ping && (flags & ACK) === 0)
      this.#send(frame({ type: Frame.ping, flags: ACK, stream: 0 }, payload));
    else if (type === Frame.data) this.#data(stream, payload);
    const ends = type === Frame.reset || ((type === Frame.data || type === Frame.headers) && (flags & END_STREAM) > 0);
    if (!ends) return;
    const call = this.#calls.get(stream);
    this.#calls.delete(stream);
    call?.onEnd();
  }

  #data(stream: number, payload: Buffer): void {
    this.#received += payload.length;
    if (this.#received >= TOP_UP_BYTES) {
      this.#send(windowUpdate(this.#received));
      this.#received = 0;
    }
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    call.parts.push(payload);
    call.bytes += payload.length;
    if (call.bytes >= call.wanted) takeMessages(call);
  }

  #fail(): void {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { onEnd } of calls) onEnd();
  }
}

/** Joins the parts once a message is complete, so that a large one is copied once. */
function takeMessages(call: Call): void {
  let bytes = call.parts.length === 1 ? (call.parts[0] ?? Buffer.alloc(0)) : Buffer.concat(call.parts);
  call.wanted = GRPC_PREFIX_BYTES;
  while (bytes.length >= GRPC_PREFIX_BYTES) {
    call.wanted = GRPC_PREFIX_BYTES + bytes.readUInt32BE(1);
    if (bytes.length < call.wanted) break;
    call.onMessage(bytes.subarray(GRPC_PREFIX_BYTES, call.wanted));
    bytes = bytes.subarray(call.wanted);
    call.wanted = GRPC_PREFIX_BYTES;
  }
  call.parts = bytes.length === 0 ? [] : [bytes];
  call.bytes = bytes.length;
}

function frame({ type, flags, stream }: FrameHead, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, FRAME_HEADER_BYTES);
  return bytes;
}

function windowUpdate(increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frame({ type: Frame.windowUpdate, flags: 0, stream: 0 }, payload);
}

function message(body: Buffer): Buffer {
  const prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

/** Literals that are not indexed, RFC 7541 6.2.2, so that neither side keeps a table. */
function requestHeaders(path: string): Buffer {
  const fields = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "bench"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ];
  const text = (value: string) => [Buffer.of(value.length), Buffer.from(value)];
  return Buffer.concat(fields.flatMap(([name = "", value = ""]) => [Buffer.of(0), ...text(name), ...text(value)]));
}
