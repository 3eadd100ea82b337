import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import { TLSSocket } from "node:tls";
import type { TestPki } from "./test-pki.ts";

/** What arrived, as `/echo` answers it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  /** The connection was made with the front proxy's certificate. */
  readonly isTrusted: boolean;
  readonly bodyBytes: number;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Stands at kube-apiserver's place and does what a test tells it; `/echo` answers with what it received. */
export class FakeApiserver {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;
  onRequest: Answer = (_request, response) => response.writeHead(404).end();
  onUpgrade: Upgrade = (_request, socket) => socket.destroy();

  private constructor(server: Server, sockets: ReadonlySet<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = (server.address() as AddressInfo).port;
    server.on("request", (request, response) => {
      if (request.url?.startsWith("/echo") === true) void echo(request, response);
      else this.onRequest(request, response);
    });
    server.on("upgrade", (request, socket, head) => this.onUpgrade(request, socket, head));
  }

  static async start(t: Pick<TestContext, "after">, pki: TestPki, port = 0): Promise<FakeApiserver> {
    const server = createServer({
      ...pki.read("apiserver"),
      ca: pki.caOf("request-header-ca"),
      maxHeaderSize: 2 ** 20, // as Go has it
      requestCert: true,
      rejectUnauthorized: false,
    });
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const fake = new FakeApiserver(server, sockets);
    t.after(() => fake.kill());
    return fake;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** From now on a request that waits for leave to send its body does not get it. */
  refuseBodies(): void {
    this.#server.on("checkContinue", (_request, response) => response.writeHead(413).end());
  }

  /** Gone at once, as after SIGKILL. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let bodyBytes = 0;
  for await (const chunk of request) bodyBytes += (chunk as Buffer).length;
  const seen: Seen = {
    method: request.method ?? "",
    url: request.url ?? "",
    rawHeaders: request.rawHeaders,
    isTrusted: request.socket instanceof TLSSocket && request.socket.authorized,
    bodyBytes,
  };
  const status = /status=(\d+)/.exec(seen.url)?.[1] ?? "200";
  response.writeHead(Number(status), { "content-type": "application/json" }).end(JSON.stringify(seen));
}
