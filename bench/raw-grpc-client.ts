import { once } from "node:events";
import { connect, type Socket } from "node:net";

/**
 * A gRPC client that costs next to nothing, so that a bench measures the server: its request is made once, and of an
 * answer it looks at nothing but the flag that ends it.
 */
export class RawGrpcClient {
  readonly #socket: Socket;
  /** The first request puts its headers into the connection's table, later ones refer to them: as clients do. */
  readonly #first: Buffer;
  readonly #later: Buffer;
  #nextId = 1;
  #rest: Buffer = Buffer.alloc(0);
  #received = 0;
  #onEnd: () => void = () => undefined;

  private constructor(socket: Socket, first: Buffer, later: Buffer) {
    this.#socket = socket;
    this.#first = first;
    this.#later = later;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
  }

  /** `target`: a unix socket or `host:port`; `message`: the one that each call sends to the method `path`. */
  static async connect(target: string, path: string, message: Buffer): Promise<RawGrpcClient> {
    const [host = "", port] = target.split(":");
    const socket = port === undefined ? connect(target) : connect(Number(port), host);
    await once(socket, "connect");
    socket.setNoDelay(true);
    const settings = frame({ type: 4, flags: 0 }, Buffer.alloc(0));
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, WINDOW_UPDATE]));
    const prefix = Buffer.from([0, 0, 0, 0, message.length]);
    const data = frame({ type: 0, flags: 1 }, Buffer.concat([prefix, message]));
    const request = (block: Buffer) => Buffer.concat([frame({ type: 1, flags: 4 }, block), data]);
    return new RawGrpcClient(socket, request(firstBlock(path)), request(LATER_BLOCK));
  }

  /** Makes `total` calls, `inFlight` at a time, and returns the milliseconds each took. */
  async run(total: number, inFlight: number): Promise<Float64Array> {
    const startedAt = new Float64Array(total);
    const took = new Float64Array(total);
    const firstId = this.#nextId;
    let [begun, ended] = [0, 0];
    const done = Promise.withResolvers<void>();
    this.#socket.once("error", done.reject).once("close", () => done.reject(new Error("Cannot call: disconnected")));
    const begin = () => {
      startedAt[begun++] = performance.now();
      this.#call();
    };
    this.#onEnd = () => {
      const call = (this.#endedId - firstId) / 2;
      took[call] = performance.now() - (startedAt[call] ?? 0);
      if (++ended === total) done.resolve();
      else if (begun < total) begin();
    };
    this.#socket.cork();
    for (let i = 0; i < Math.min(inFlight, total); i++) begin();
    this.#socket.uncork();
    await done.promise;
    return took;
  }

  close(): void {
    this.#socket.destroy();
  }

  #endedId = 0;

  #call(): void {
    const bytes = Buffer.from(this.#nextId === 1 ? this.#first : this.#later);
    bytes.writeUInt32BE(this.#nextId, 5);
    bytes.writeUInt32BE(this.#nextId, FRAME_HEAD_BYTES + bytes.readUIntBE(0, 3) + 5);
    this.#nextId += 2;
    this.#socket.write(bytes);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    this.#socket.cork();
    while (at + FRAME_HEAD_BYTES <= bytes.length) {
      const size = FRAME_HEAD_BYTES + bytes.readUIntBE(at, 3);
      if (at + size > bytes.length) break;
      this.#frame(bytes.subarray(at, at + size));
      at += size;
    }
    this.#socket.uncork();
    this.#rest = bytes.subarray(at);
  }

  #frame(bytes: Buffer): void {
    const [type = 0, flags = 0] = [bytes[3], bytes[4]];
    if (type === 0) this.#credit(bytes.length - FRAME_HEAD_BYTES);
    if (type > 1 || (flags & 1) === 0) return;
    this.#endedId = bytes.readUInt32BE(5);
    this.#onEnd();
  }

  #credit(bytes: number): void {
    this.#received += bytes;
    if (this.#received < WINDOW_BYTES / 2) return;
    this.#received = 0;
    this.#socket.write(WINDOW_UPDATE);
  }
}

const FRAME_HEAD_BYTES = 9;
const WINDOW_BYTES = 1 << 28;
const WINDOW_UPDATE = frame({ type: 8, flags: 0 }, Buffer.from([WINDOW_BYTES / 2 ** 24, 0, 0, 0]));

function frame({ type, flags }: { readonly type: number; readonly flags: number }, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  return Buffer.concat([head, payload]);
}

/** :method POST, :scheme http. */
const PSEUDO = Buffer.from([0x83, 0x86]);
/** The same with the five newest fields of the table. */
const LATER_BLOCK = Buffer.concat([PSEUDO, Buffer.from([0xc2, 0xc1, 0xc0, 0xbf, 0xbe])]);

function firstBlock(path: string): Buffer {
  const literal = (name: string, value: string) =>
    Buffer.concat([
      Buffer.from([0x40, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]);
  return Buffer.concat([
    PSEUDO,
    literal(":path", path),
    literal(":authority", "kine.sock"),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
    literal("user-agent", "bench"),
  ]);
}
