import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { decodeInto } from "@k3s/etcd-api";
import { rangeRequest } from "@k3s/testkit";
import { openSession } from "./http2-session.ts";
import type { Latencies } from "./latencies.ts";

/** Between two pings of a client that downloads: a server has sent so much meanwhile, so it takes them for no flood. */
const PING_EVERY_BYTES = 8 << 20;
const WINDOW_BYTES = 4 << 20;
const LIMIT_MS = 120_000;
/** Compression flag and length. */
const PREFIX_BYTES = 5;

/** A list without its contents. */
interface ListSize {
  readonly kvs: number;
  readonly count: number;
  readonly bytes: number;
}

/** A client that pings while it downloads, as one with keepalive does, and notes when it is told to leave. */
export class ListingClient {
  /** What the server said at the end of the connection; empty as long as it is open. */
  readonly closings: string[] = [];
  readonly #session: ClientHttp2Session;
  readonly #pings: Latencies;

  private constructor(session: ClientHttp2Session, pings: Latencies) {
    this.#session = session;
    this.#pings = pings;
    session.on("goaway", (code) => this.closings.push(`goaway ${code}`));
    session.on("error", (error: Error) => this.closings.push(error.message));
    session.on("close", () => this.closings.push("closed"));
  }

  /** Until the test ends. `pings` learns how long answers to pings took. */
  static async connect(t: TestContext, port: number, pings: Latencies): Promise<ListingClient> {
    const settings = { initialWindowSize: WINDOW_BYTES };
    const session = await openSession(t, `http://127.0.0.1:${port}`, { settings });
    session.setLocalWindowSize(WINDOW_BYTES);
    return new ListingClient(session, pings);
  }

  /** Rejects when the call fails, a ping is not answered or it takes too long. */
  async list(key: string, end = ""): Promise<ListSize> {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": "/etcdserverpb.KV/Range",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.setTimeout(LIMIT_MS, () => stream.destroy(new Error("Cannot list: nothing comes any more")));
    const message = rangeRequest({ key, end });
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
    return measure(await this.#read(stream));
  }

  async #read(stream: ClientHttp2Stream): Promise<Buffer> {
    const parts: Buffer[] = [];
    const pings: Promise<void>[] = [];
    let bytes = 0;
    for await (const part of stream as AsyncIterable<Buffer>) {
      parts.push(part);
      bytes += part.length;
      if (bytes > PING_EVERY_BYTES * (pings.length + 1)) pings.push(this.#ping());
    }
    await Promise.all(pings);
    return Buffer.concat(parts).subarray(PREFIX_BYTES);
  }

  async #ping(): Promise<void> {
    const ping = promisify((done: (error: Error | null) => void) => this.#session.ping(done));
    await this.#pings.measure(ping);
  }
}

function measure(answer: Buffer): ListSize {
  return decodeInto({ kvs: 0, count: 0, bytes: answer.length }, answer, {
    2: (m, r) => {
      r.bytes();
      m.kvs++;
    },
    4: (m, r) => (m.count = r.int64()),
  });
}
