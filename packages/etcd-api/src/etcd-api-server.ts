import type { Store } from "@k3s/datastore";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { Backlog } from "./backlog.ts";
import { createRoutes } from "./http-routes.ts";
import { assertSocketFree, assertTcpFree, type TcpAddress } from "./listen.ts";
import { RefusalLog } from "./refusal-log.ts";
import { serveGrpcJs } from "./serve-grpc-js.ts";
import { serveHttp1 } from "./serve-http1.ts";
import { serveHttp2, type ServeHttp2Options } from "./serve-http2.ts";
import { serve, type Serving } from "./serve.ts";
import type { ServiceOptions } from "./service-context.ts";
import { createServices } from "./services.ts";
import type { Transport, TransportName } from "./transport.ts";

export interface EtcdApiServerOptions extends Pick<ServiceOptions, "progressIntervalMs" | "watchBacklogBytes"> {
  /**
   * Memory for what clients have not read: events and answers on all connections. Beyond it the slowest watch streams are
   * ended, as with {@link ServiceOptions.watchBacklogBytes}, and clients that do not read are refused. Default 512 MiB.
   */
  readonly backlogBytes?: number | undefined;
  /** Asked for once, in start(): the store is opened by a component that starts earlier. */
  readonly store: () => Store;
  /** Absolute path of the unix socket kube-apiserver connects to. Without it there has to be a TCP address. */
  readonly socketPath?: string | undefined;
  /** An address besides or instead of the socket. */
  readonly tcp?: TcpAddress | undefined;
  /** Default: our own layer, "http2". */
  readonly transport?: TransportName | undefined;
  /** The text of `/metrics`; without it the path does not exist. */
  readonly metrics?: (() => string | Promise<string>) | undefined;
  /** Name of the one member, shown by `etcdctl member list`. */
  readonly memberName: string;
  readonly log: Logger;
}

const BACKLOG_BYTES = 512 << 20;

/** Offers a store as etcd v3 on a unix socket, with `/health` and `/version` in plain HTTP beside it. */
export class EtcdApiServer implements Component {
  readonly name = "etcd-api";
  readonly #options: EtcdApiServerOptions;
  readonly #stopping = new AbortController();
  #serving: Serving | undefined;

  constructor(options: EtcdApiServerOptions) {
    this.#options = options;
  }

  /** The bound TCP port; 0 while not running or without a TCP address. */
  get tcpPort(): number {
    return this.#serving?.tcpPort ?? 0;
  }

  async prepare(): Promise<void> {
    const { socketPath, tcp } = this.#options;
    if (socketPath !== undefined) await assertSocketFree(socketPath);
    if (tcp !== undefined) await assertTcpFree(tcp);
  }

  async start({ signal }: Pick<StartContext, "signal">): Promise<void> {
    signal.throwIfAborted();
    const { store: open, socketPath, tcp, memberName, log, transport = "http2", metrics, ...more } = this.#options;
    const { backlogBytes = BACKLOG_BYTES, ...limits } = more;
    const store = open();
    const backlog = new Backlog(backlogBytes);
    const methods = createServices(store, {
      ...limits,
      log,
      backlog,
      signal: this.#stopping.signal,
      member: { name: memberName, peerUrls: [], clientUrls: clientUrls(this.#options) },
    });
    const routes = createRoutes({ store, metrics, log });
    const protocols = { http2: grpcOn(transport, { methods, routes, backlog }), http1: serveHttp1(routes) };
    const refusals = new RefusalLog(log);
    this.#serving = await serve(protocols, { socketPath, tcp, onRefused: (client) => refusals.add(client) });
    const address = tcp === undefined ? undefined : tcpUrl({ ...tcp, port: this.tcpPort });
    log.info({ socketPath, address, transport }, "etcd API is served");
  }

  async stop(hurry: AbortSignal): Promise<void> {
    const serving = this.#serving;
    this.#serving = undefined;
    if (serving === undefined) return;
    // Frees the address before the streams end, so that resuming clients do not come back to us.
    const closed = serving.close(hurry);
    this.#stopping.abort();
    await closed;
  }
}

function clientUrls({ socketPath, tcp }: Pick<EtcdApiServerOptions, "socketPath" | "tcp">): readonly string[] {
  if (socketPath !== undefined) return [`unix://${socketPath}`];
  if (tcp === undefined) return [];
  return [tcpUrl(tcp)];
}

function tcpUrl({ host, port, tls }: TcpAddress): string {
  return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function grpcOn(transport: TransportName, options: ServeHttp2Options): Transport {
  return transport === "http2" ? serveHttp2(options) : serveGrpcJs(options.methods);
}
