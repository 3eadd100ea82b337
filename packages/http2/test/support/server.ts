import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { TestContext } from "node:test";
import { HeaderList } from "../../src/hpack/header-list.ts";
import { Http2Server } from "../../src/http2-server.ts";
import type { Limits } from "../../src/limits.ts";
import type { RequestHead } from "../../src/request-head.ts";
import type { ServerStream, StreamListener } from "../../src/stream.ts";

const HEAD = new HeaderList(
  [
    [":status", "200"],
    ["content-type", "text/plain"],
  ],
  { isConstant: true },
);
const TRAILERS = new HeaderList([["x-end", "yes"]], { isConstant: true });

export interface TestServer {
  readonly http2: Http2Server;
  readonly net: Server;
  readonly port: number;
  /** Requests as they came. */
  readonly heads: RequestHead[];
  /** Paths whose streams were aborted. */
  readonly aborted: string[];
  /** Streams of `/hold`, in order. */
  readonly held: ServerStream[];
}

export interface ServerOptions {
  readonly limits?: Partial<Limits>;
  readonly tls?: TlsOptions;
  /** What works on requests of `/hold`. */
  readonly work?: Promise<unknown>;
}

/**
 * A server on loopback that knows these paths: `/echo` answers with the body it got and trailers, `/bytes/N` with N bytes,
 * `/none` with a header section alone, `/hold` not at all and takes nothing of the body from the window; others with nothing.
 */
export async function startServer(t: TestContext, options: ServerOptions = {}): Promise<TestServer> {
  const seen = { heads: new Array<RequestHead>(), aborted: new Array<string>(), held: new Array<ServerStream>() };
  const onRequest = (stream: ServerStream, head: RequestHead) => {
    seen.heads.push(head);
    return new TestCall(stream, head.path, { ...seen, work: options.work });
  };
  const http2 = new Http2Server({ onRequest, limits: { sweepMs: 5, ...options.limits } });
  const net =
    options.tls === undefined
      ? createServer({ noDelay: true }, (socket) => http2.accept(socket))
      : createTlsServer({ ALPNProtocols: ["h2"], ...options.tls }, (socket) => http2.accept(socket));
  net.listen(0, "127.0.0.1");
  t.after(async () => {
    net.close();
    await http2.close(AbortSignal.abort());
  });
  await once(net, "listening");
  const address = net.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  return { http2, net, port, ...seen };
}

interface Record {
  readonly aborted: string[];
  readonly held: ServerStream[];
  readonly work: Promise<unknown> | undefined;
}

class TestCall implements StreamListener {
  readonly #stream: ServerStream;
  readonly #path: string;
  readonly #record: Record;
  readonly #body: Buffer[] = [];

  constructor(stream: ServerStream, path: string, record: Record) {
    this.#stream = stream;
    this.#path = path;
    this.#record = record;
    if (path === "/hold") record.held.push(stream);
  }

  data(bytes: Buffer): void {
    if (this.#path === "/hold") return;
    this.#body.push(Buffer.from(bytes));
    this.#stream.credit(bytes.length);
  }

  end(): void {
    if (this.#path === "/hold") return;
    this.#stream.sendHead(HEAD);
    const size = /^\/bytes\/(\d+)$/.exec(this.#path)?.[1];
    if (size !== undefined) this.#stream.sendData(Buffer.alloc(Number(size), "x"));
    if (this.#path === "/echo") this.#stream.sendData(Buffer.concat(this.#body));
    this.#stream.end(this.#path === "/echo" ? TRAILERS : undefined);
  }

  drained(): void {
    // Everything was handed over at once.
  }

  aborted(): void {
    this.#record.aborted.push(this.#path);
  }

  get work(): Promise<unknown> | undefined {
    return this.#path === "/hold" ? this.#record.work : undefined;
  }
}
