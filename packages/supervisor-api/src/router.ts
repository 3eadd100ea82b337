import type { Logger } from "@k3s/log";
import type { ApiserverProxy } from "./apiserver-proxy.ts";
import { certificateProof } from "./authenticate.ts";
import type { Connection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import type { OwnRoutes } from "./own-routes.ts";
import { hasBearer, type SwitchRequest } from "./relay.ts";
import { failures, sendFailure, type Failure } from "./status.ts";

/** What the port can answer once the server's files are there. */
export interface MainHandler {
  /** Undefined: there is no kube-apiserver on this machine. */
  readonly proxy: ApiserverProxy | undefined;
  readonly own: OwnRoutes;
  /** The server CA as it is now. */
  readonly serverCa: () => Buffer;
}

export interface RouterOptions {
  /** False: whoever is unknown there has to wait. */
  readonly mayForward: (connection: Connection) => boolean;
  readonly log: Logger;
}

/**
 * Decides who answers a request. Paths are compared as the client wrote them: there is no cleaning and no redirect,
 * so that no two programs on the way can read one path differently.
 */
export class Router {
  readonly #options: RouterOptions;
  #main: MainHandler | undefined;
  #isApiserverReady = false;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  setMain(main: MainHandler): void {
    this.#main = main;
  }

  setApiserverReady(isReady: boolean): void {
    this.#isApiserverReady = isReady;
  }

  async route(exchange: Exchange): Promise<void> {
    this.#conclude(exchange, await this.#answer(exchange));
  }

  /** Whether a request to switch protocols may be switched; all others are answered like plain ones. */
  wouldSwitch(target: string): boolean {
    const main = this.#main;
    const path = pathOf(target);
    if (main === undefined) return false;
    if (main.own.hasUpgrade(path)) return true;
    const isOwn = path.startsWith("/db/") || path === "/ping" || path === "/cacerts" || main.own.has(path);
    return main.proxy !== undefined && this.#isApiserverReady && !isOwn;
  }

  async switch(exchange: Exchange, switchTo: SwitchRequest): Promise<void> {
    const path = pathOf(exchange.target);
    const main = this.#main;
    if (main === undefined) this.#conclude(exchange, failures.starting);
    else if (main.own.hasUpgrade(path)) this.#conclude(exchange, await main.own.upgrade(exchange, path, switchTo));
    else this.#conclude(exchange, this.#forward(exchange, main, switchTo));
  }

  /** A client that wants to be connected to `host:port`, which stands in its request line. */
  async connect(exchange: Exchange, switchTo: SwitchRequest): Promise<void> {
    const request = { target: exchange.target, switchTo };
    const failure = this.#main === undefined ? failures.starting : await this.#main.own.connect(exchange, request);
    this.#conclude(exchange, failure);
  }

  /** Answers, or says why not. */
  async #answer(exchange: Exchange): Promise<Failure | undefined> {
    const path = pathOf(exchange.target);
    const main = this.#main;
    if (path.startsWith("/db/")) return failures.etcdDisabled;
    if (main === undefined) return failures.starting;
    if (path === "/ping" || path === "/cacerts") {
      sendText(exchange, path === "/ping" ? "pong" : main.serverCa());
      return undefined;
    }
    if (main.own.has(path)) return await main.own.answer(exchange, path);
    if (exchange.method === "CONNECT") return await main.own.connect(exchange, undefined);
    return this.#forward(exchange, main);
  }

  #forward(exchange: Exchange, { proxy }: MainHandler, switchTo?: SwitchRequest): Failure | undefined {
    const proof = certificateProof(exchange);
    const isBearer = hasBearer(exchange);
    if (proxy === undefined) return failures.notFound;
    if (!this.#isApiserverReady) return failures.apiserverNotReady;
    if (!isOriginForm(exchange.target)) return failures.badTarget;
    if (proof.kind === "invalid" && !isBearer) return failures.unauthorized;
    if (!this.#options.mayForward(exchange.connection)) return failures.tooManyRequests;
    const identity = proof.kind === "proven" && !isBearer ? proof.identity : undefined;
    countForward(exchange);
    proxy.forward({ exchange, identity, ...(switchTo === undefined ? {} : { switchTo }) });
    return undefined;
  }

  #conclude(exchange: Exchange, failure: Failure | undefined): void {
    if (failure === undefined) return;
    const { method, connection, target } = exchange;
    this.#options.log.debug(
      { method, path: pathOf(target), remote: connection.remoteAddress, status: failure.code },
      "request refused",
    );
    sendFailure(exchange, failure);
  }
}

function countForward(exchange: Exchange): void {
  const { connection } = exchange;
  connection.forwardBegins();
  exchange.onClose(() => connection.forwardEnds());
}

function isOriginForm(target: string): boolean {
  return target.startsWith("/") || target === "*";
}

function sendText(exchange: Exchange, text: string | Buffer): void {
  const headers = ["Content-Type", "text/plain", "Content-Length", String(Buffer.byteLength(text))];
  exchange.respond({ status: 200, headers }).end(text);
}

/** Without the query. */
function pathOf(target: string): string {
  return target.split("?", 1)[0] ?? "";
}
