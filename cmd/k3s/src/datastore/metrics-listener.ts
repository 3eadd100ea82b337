import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { soonAfter } from "@k3s/async";
import type { TlsIdentity } from "@k3s/etcd-api";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { METRICS_CONTENT_TYPE } from "@k3s/metrics";
import { ServeError } from "../errors.ts";

interface MetricsListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Without it the port is not encrypted. */
  readonly identity: TlsIdentity | undefined;
  readonly text: () => Promise<string>;
  readonly log: Logger;
}

/** Nobody needs longer to ask for `/metrics`. */
const REQUEST_LIMIT_MS = 10_000;
const CONNECTIONS_MAX = 100;

/** `/metrics` on an address of its own. */
export class MetricsListener implements Component {
  readonly name = "metrics";
  readonly #options: MetricsListenerOptions;
  #server: Server | undefined;

  constructor(options: MetricsListenerOptions) {
    this.#options = options;
  }

  /** Has the address for a moment: only that tells whether it can be had. */
  async prepare(): Promise<void> {
    const probe = createTcpServer((connection) => connection.destroy());
    await this.#listen(probe);
    probe.close();
  }

  async start(): Promise<void> {
    const { host, port, identity, log } = this.#options;
    const limits = { requestTimeout: REQUEST_LIMIT_MS, headersTimeout: REQUEST_LIMIT_MS };
    const server =
      identity === undefined
        ? createServer(limits, this.#onRequest)
        : createTlsServer({ ...limits, ...tlsOptions(identity) }, this.#onRequest);
    server.maxConnections = CONNECTIONS_MAX;
    this.#server = server;
    await this.#listen(server);
    const address = server.address();
    log.info({ host, port: typeof address === "object" ? address?.port : port }, "metrics are served");
  }

  async stop(hurry: AbortSignal): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server?.listening !== true) return;
    const closed = once(server, "close");
    server.close();
    server.closeIdleConnections();
    const late = () => new Error("Cannot stop serving metrics: a connection stays open");
    await soonAfter(closed, { signal: hurry, ms: 0, late }).catch(() => server.closeAllConnections());
  }

  async #listen(server: TcpServer): Promise<void> {
    const { host, port } = this.#options;
    server.listen({ host, port });
    try {
      await once(server, "listening");
    } catch (error) {
      throw ServeError.cannotListen(`${host.includes(":") ? `[${host}]` : host}:${port}`, error);
    }
  }

  readonly #onRequest: RequestListener = (request, response) => {
    if (request.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    void this.#options.text().then((text) => {
      response.writeHead(200, { "content-type": METRICS_CONTENT_TYPE }).end(text);
    });
  };
}

function tlsOptions({ cert, key, clientCa }: TlsIdentity) {
  const needsCertificate = clientCa !== undefined;
  return {
    cert,
    key,
    ...(needsCertificate ? { ca: clientCa } : {}),
    requestCert: needsCertificate,
    rejectUnauthorized: needsCertificate,
  };
}
