import { createServer as createHttpServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import { performServerHandshake, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, TLSSocket, type SecureContext, type Server as TlsServer } from "node:tls";
import type { Logger } from "@k3s/log";
import type { ConnectionTable } from "./connection-table.ts";
import type { Connection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import { hasBody, Http1Exchange } from "./http1-exchange.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import type { Router } from "./router.ts";
import type { ServingContext } from "./serving-context.ts";
import { hostAddress } from "./host-address.ts";
import { failures, sendFailure } from "./status.ts";

export interface EndpointOptions {
  readonly context: ServingContext;
  readonly table: ConnectionTable;
  readonly router: Router;
  readonly log: Logger;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Request line and headers together. Bearer tokens and long exec commands fit; a memory attack does not. */
const HEADER_BYTES_MAX = 128 * 1024;
const HTTP2_OPTIONS = {
  settings: { maxConcurrentStreams: 250, maxHeaderListSize: HEADER_BYTES_MAX, enablePush: false },
  maxHeaderListPairs: 512,
  // Kubernetes repeats headers that HTTP calls singular; they are passed on as they come.
  strictSingleValueFields: false,
};
const HTTP1_OPTIONS = {
  maxHeaderSize: HEADER_BYTES_MAX,
  // The connection table ends idle connections, by who they belong to.
  keepAliveTimeout: 0,
  headersTimeout: 0,
  requestTimeout: 0,
};

/** Makes requests out of accepted TCP connections: TLS, then HTTP/2 or HTTP/1.1 as the client chooses. */
export class HttpsEndpoint {
  readonly #options: EndpointOptions;
  readonly #tls: TlsServer;
  readonly #http1: Server;
  /** Connections in their handshake, by their four-tuple. */
  readonly #handshaking = new Map<string, Connection>();
  readonly #connections = new WeakMap<Duplex, Connection>();

  constructor(options: EndpointOptions) {
    const { context, router } = options;
    this.#options = options;
    this.#http1 = createHttpServer({
      ...HTTP1_OPTIONS,
      shouldUpgradeCallback: (request) => router.wouldSwitch(originForm(request.url)) && !hasBody(request),
    });
    this.#serveHttp1();
    this.#tls = createTlsServer(
      {
        ...context.options(),
        ALPNProtocols: ["h2", "http/1.1"],
        requestCert: true,
        rejectUnauthorized: false, // a certificate is asked for, not required: routes decide what they need
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        SNICallback: (name, done) => {
          context
            .offer(name)
            .then(() => context.current())
            .then((current) => done(null, current), done);
        },
      },
      (socket) => this.#secured(socket),
    );
    this.#tls.on("tlsClientError", (_error, socket) => socket.destroy());
  }

  accept(socket: Socket): void {
    const connection = this.#options.table.admit(socket);
    const key = tuple(socket);
    this.#handshaking.set(key, connection);
    socket.once("close", () => this.#handshaking.delete(key));
    // Before the handshake, so that the first one with a new address succeeds.
    this.#options.context
      .offer(connection.localAddress)
      .then(() => this.#shake(socket))
      .catch((error: unknown) => {
        this.#options.log.error({ error }, "connection cannot be served");
        socket.destroy();
      });
  }

  #shake(socket: Socket): void {
    if (socket.destroyed) return;
    useContext(this.#tls, this.#options.context.current());
    this.#tls.emit("connection", socket);
  }

  #secured(socket: TLSSocket): void {
    const key = tuple(socket);
    const connection = this.#handshaking.get(key);
    if (connection === undefined) return void socket.destroy();
    this.#handshaking.delete(key);
    this.#connections.set(socket, connection);
    if (socket.alpnProtocol === "h2") this.#serveHttp2(socket, connection);
    else {
      connection.secured(socket, () => {
        if (connection.inFlight === 0) socket.destroySoon();
      });
      this.#http1.emit("connection", socket);
    }
  }

  #serveHttp2(socket: TLSSocket, connection: Connection): void {
    socket.allowHalfOpen = false; // an HTTP/2 client that has said goodbye has no use for an answer
    const session: ServerHttp2Session = performServerHandshake(socket, HTTP2_OPTIONS);
    connection.secured(socket, () => session.close());
    session.on("error", () => socket.destroy());
    session.on("stream", (...[stream, , , rawHeaders]) => {
      this.#handle(new Http2Exchange({ stream, rawHeaders, connection }));
    });
  }

  #serveHttp1(): void {
    const { router } = this.#options;
    const begin = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => {
      const connection = this.#connectionOf(request.socket);
      const target = originForm(request.url);
      if (connection !== undefined)
        this.#handle(new Http1Exchange(request, response, { connection, target, expectsContinue }));
    };
    this.#http1.on("request", (request, response) => begin(request, response, false));
    this.#http1.on("checkContinue", (request, response) => begin(request, response, true));
    this.#http1.on("upgrade", (request, socket, early) => {
      const detached = this.#detach(request, socket);
      if (detached === undefined) return;
      const { exchange, accept } = detached;
      const protocol = request.headers.upgrade ?? "";
      this.#handle(exchange, () => router.switch(exchange, { protocol, request, early, accept }));
    });
    this.#http1.on("connect", (request, socket, early) => {
      const detached = this.#detach(request, socket);
      if (detached === undefined) return;
      const { exchange, accept } = detached;
      const stay = endOnEnd(socket);
      const take = () => {
        stay();
        return accept();
      };
      this.#handle(exchange, () => router.connect(exchange, { protocol: "", request, early, accept: take }));
    });
  }

  /** A request whose socket HTTP has let go of; if it comes to an ordinary answer, that is the socket's last. */
  #detach(request: IncomingMessage, socket: Duplex) {
    socket.on("error", () => socket.destroy());
    const connection = this.#connectionOf(socket);
    if (connection === undefined || !(socket instanceof TLSSocket)) return undefined;
    const response = new ServerResponse(request);
    response.assignSocket(socket);
    response.shouldKeepAlive = false;
    response.once("finish", () => socket.destroySoon());
    const accept = () => {
      response.detachSocket(socket);
      return socket;
    };
    const target = originForm(request.url);
    return { exchange: new Http1Exchange(request, response, { connection, target, socket }), accept };
  }

  #connectionOf(socket: Duplex): Connection | undefined {
    const connection = this.#connections.get(socket);
    if (connection === undefined) socket.destroy();
    return connection;
  }

  #begin(exchange: Exchange): void {
    const { connection } = exchange;
    connection.requestBegins();
    exchange.onClose(() => connection.requestEnds());
    const address = hostAddress(exchange.headers);
    if (address !== undefined) void this.#options.context.offer(address);
  }

  #handle(exchange: Exchange, route: () => void | Promise<void> = () => this.#options.router.route(exchange)): void {
    this.#begin(exchange);
    const failed = (error: unknown) => {
      this.#options.log.error({ error }, "request failed");
      if (exchange.isResponding) exchange.abort();
      else sendFailure(exchange, failures.internal);
    };
    const run = async () => route();
    run().catch(failed);
  }
}

/**
 * What setSecureContext() does, with a context that is there already: tls.Server drops `allowPartialTrustChain` when it makes
 * one itself, and would then know an intermediate client CA only in handshakes that go through SNICallback.
 */
function useContext(server: TlsServer, context: SecureContext): void {
  Object.assign(server, { _sharedCreds: context });
}

/**
 * Closes the socket of a client that leaves before it has its answer: a connection that it cannot speak on is of no use to
 * it. Returns what calls this off. Who is not read from cannot be seen leaving.
 */
function endOnEnd(socket: Duplex): () => void {
  const leave = () => socket.destroy();
  socket.once("end", leave);
  socket.read(0);
  return () => socket.off("end", leave);
}

/** Path and query, also of a request that names the whole URL (RFC 9112, 3.2.2). */
function originForm(url = "/"): string {
  const rest = /^https?:\/\/[^/?#]*(.*)$/is.exec(url)?.[1];
  if (rest === undefined) return url;
  return rest.startsWith("/") ? rest : `/${rest}`;
}

function tuple(socket: Socket): string {
  return [socket.remoteAddress, socket.remotePort, socket.localAddress, socket.localPort].join("|");
}
