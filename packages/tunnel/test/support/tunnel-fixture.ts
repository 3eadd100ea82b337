import { once } from "node:events";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import {
  CONNECT_PATH,
  TunnelClient,
  TunnelServer,
  type TunnelClientOptions,
  type TunnelStatus,
} from "../../src/index.ts";
import type { FlowControl } from "../../src/flow-gate.ts";
import type { SessionTimes } from "../../src/tunnel-session.ts";
import { quietLog } from "./quiet-log.ts";

const LIMIT_MS = 30_000;

/** Dials whatever it is asked to. */
export async function dialAnything({ address }: { readonly address: string }): Promise<Duplex> {
  const at = address.lastIndexOf(":");
  const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)) });
  await once(socket, "connect");
  return socket;
}

export interface ListeningServer {
  readonly tunnels: TunnelServer;
  readonly port: number;
}

export interface ServerOptions {
  readonly times?: Partial<SessionTimes>;
  /** As with a peer that knows remotedialer's flow control only. */
  readonly flowControl?: FlowControl;
}

/** A tunnel server on a real HTTP listener; a node says its name in a header. */
export async function startServer(t: TestContext, options: ServerOptions = {}): Promise<ListeningServer> {
  const tunnels = new TunnelServer({ times: options.times ?? {}, log: quietLog });
  const http = createServer();
  http.on("upgrade", (request, socket, head) => {
    if (options.flowControl === "shared") delete request.headers["k3s-tunnel-flow-control"];
    const nodeName = String(request.headers["test-node"]);
    tunnels.accept({ request, socket, head, nodeName });
  });
  http.listen(0, "127.0.0.1");
  t.after(async () => {
    http.close();
    await tunnels.close();
    http.closeAllConnections();
  });
  await once(http, "listening");
  return { tunnels, port: (http.address() as AddressInfo).port };
}

type ClientOptions = Partial<Omit<TunnelClientOptions, "endpoint" | "log">> & { readonly nodeName?: string };

/** A client of the server on `port` that dials whatever it is asked to, unless `options` say otherwise. */
export function startClient(t: TestContext, port: number, options: ClientOptions = {}): TunnelClient {
  const { nodeName = "one", ...rest } = options;
  const client = new TunnelClient({
    endpoint: () => ({ url: `ws://127.0.0.1:${port}${CONNECT_PATH}`, headers: { "test-node": nodeName } }),
    rules: { authorize: () => true, dial: dialAnything },
    backoff: { minMs: 10, maxMs: 50, refusedMinMs: 10, refusedMaxMs: 50, healthyAfterMs: 10_000 },
    log: quietLog,
    ...rest,
  });
  t.after(() => client.stop());
  return client;
}

export async function connectedClient(
  t: TestContext,
  port: number,
  options: ClientOptions = {},
): Promise<TunnelClient> {
  const client = startClient(t, port, options);
  await untilState(client, "connected");
  return client;
}

export async function untilState(client: TunnelClient, state: TunnelStatus["state"]): Promise<void> {
  await client.status.until((status) => status.state === state, AbortSignal.timeout(LIMIT_MS));
}

/** A TCP server on loopback that hands each connection to `serve`. */
export async function startTarget(t: TestContext, serve: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    serve(socket);
  }).listen(0, "127.0.0.1");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
