import type { Logger } from "@k3s/log";
import type { ApiserverProxy } from "./apiserver-proxy.ts";
import { authenticate, certificateProof, type PasswordCheck } from "./authenticate.ts";
import type { Exchange } from "./exchange.ts";
import { hasBearer, type SwitchRequest } from "./relay.ts";
import { failures, sendFailure, type Failure } from "./status.ts";

/** What the port can answer once the server's files are there. */
export interface MainHandler {
  readonly proxy: ApiserverProxy;
  readonly passwords: PasswordCheck;
  /** The server CA as it is now. */
  readonly serverCa: () => Buffer;
}

export interface RouterOptions {
  /** Whether a client without credentials has to wait. */
  readonly isCrowded: () => boolean;
  readonly log: Logger;
}

const NODE_GROUPS = ["k3s:agent", "system:nodes", "system:bootstrappers"];

/**
 * Decides who answers a request. Paths are compared as the client wrote them: there is no cleaning and no redirect,
 * so that no two programs on the way can read one path differently.
 */
export class Router {
  readonly #options: RouterOptions;
  #main: MainHandler | undefined;
  #isApiserverReady = false;
  #isCoreReady = false;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  setMain(main: MainHandler): void {
    this.#main = main;
  }

  setApiserverReady(isReady: boolean): void {
    this.#isApiserverReady = isReady;
  }

  setCoreReady(): void {
    this.#isCoreReady = true;
  }

  async route(exchange: Exchange): Promise<void> {
    const failure = await this.#answer(exchange);
    if (failure !== undefined) this.#refuse(exchange, failure);
  }

  /** Whether a request to switch protocols is kube-apiserver's to answer; all others are answered like plain ones. */
  wouldForward(target: string): boolean {
    const isOwn = /^\/(db\/|(ping|cacerts|v1-k3s\/readyz)(\?|$))/.test(target);
    return this.#main !== undefined && this.#isApiserverReady && !isOwn;
  }

  switch(exchange: Exchange, switchTo: SwitchRequest): void {
    const main = this.#main;
    const failure = main === undefined ? failures.starting : this.#forward(exchange, main, switchTo);
    if (failure !== undefined) this.#refuse(exchange, failure);
  }

  /** Answers, or says why not. */
  async #answer(exchange: Exchange): Promise<Failure | undefined> {
    const path = pathOf(exchange);
    const main = this.#main;
    if (path.startsWith("/db/")) return failures.etcdDisabled;
    if (main === undefined) return failures.starting;
    switch (path) {
      case "/ping":
        sendText(exchange, "pong");
        return undefined;
      case "/cacerts":
        sendText(exchange, main.serverCa());
        return undefined;
      case "/v1-k3s/readyz":
        return this.#readyz(exchange, main);
      default:
        return exchange.method === "CONNECT" ? connect(exchange, main) : this.#forward(exchange, main);
    }
  }

  async #readyz(exchange: Exchange, main: MainHandler): Promise<Failure | undefined> {
    const failure = await missingGroup(exchange, main, NODE_GROUPS);
    if (failure !== undefined) return failure;
    if (!this.#isCoreReady) return failures.coreNotReady;
    sendText(exchange, "ok");
    return undefined;
  }

  #forward(exchange: Exchange, { proxy }: MainHandler, switchTo?: SwitchRequest): Failure | undefined {
    const proof = certificateProof(exchange);
    const isBearer = hasBearer(exchange);
    if (!this.#isApiserverReady) return failures.apiserverNotReady;
    if (!isOriginForm(exchange.target)) return failures.badTarget;
    if (proof.kind === "invalid" && !isBearer) return failures.unauthorized;
    if (!exchange.connection.isProven && this.#options.isCrowded()) return failures.tooManyRequests;
    const identity = proof.kind === "proven" && !isBearer ? proof.identity : undefined;
    proxy.forward({ exchange, identity, ...(switchTo === undefined ? {} : { switchTo }) });
    return undefined;
  }

  #refuse(exchange: Exchange, failure: Failure): void {
    const { method, connection } = exchange;
    this.#options.log.debug(
      { method, path: pathOf(exchange), remote: connection.remoteAddress, status: failure.code },
      "request refused",
    );
    sendFailure(exchange, failure);
  }
}

/** Connections to nodes are for kube-apiserver alone, and only while an egress mode sends them here. */
async function connect(exchange: Exchange, main: MainHandler): Promise<Failure> {
  return (await missingGroup(exchange, main, ["system:masters"])) ?? failures.methodNotAllowed;
}

async function missingGroup(
  exchange: Exchange,
  main: MainHandler,
  groups: readonly string[],
): Promise<Failure | undefined> {
  const outcome = await authenticate(exchange, main.passwords);
  if (outcome.kind === "refused") return failures.notAuthorized;
  if (outcome.kind === "busy") return failures.tooManyRequests;
  const isMember = outcome.kind === "known" && outcome.identity.groups.some((group) => groups.includes(group));
  return isMember ? undefined : failures.forbidden;
}

function isOriginForm(target: string): boolean {
  return target.startsWith("/") || target === "*";
}

function sendText(exchange: Exchange, text: string | Buffer): void {
  const headers = ["Content-Type", "text/plain", "Content-Length", String(Buffer.byteLength(text))];
  exchange.respond({ status: 200, headers }).end(text);
}

function pathOf({ target }: Exchange): string {
  return target.split("?", 1)[0] ?? "";
}
