import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "@k3s/log";
import type { Exchange } from "./exchange.ts";
import type { Identity } from "./identity.ts";
import { headerPairs, headerValue } from "./raw-headers.ts";
import { forwardedHeaders, returnedHeaders } from "./request-headers.ts";
import { failures, sendFailure } from "./status.ts";
import { joinSockets } from "./join-sockets.ts";
import type { Upstream } from "./upstream.ts";

/** The client's side of a protocol switch. */
export interface SwitchRequest {
  readonly protocol: string;
  /** As node:http read it. */
  readonly request: IncomingMessage;
  /** What the client sent before it was answered. */
  readonly early: Buffer;
  /** Takes the socket out of HTTP's hands. */
  accept(): Duplex;
}

export interface Forwarding {
  readonly exchange: Exchange;
  /** Undefined: kube-apiserver authenticates the request itself. */
  readonly identity: Identity | undefined;
  readonly switchTo?: SwitchRequest;
}

export interface RelayContext {
  readonly upstream: Upstream;
  readonly log: Logger;
}

interface Switched {
  readonly incoming: IncomingMessage;
  readonly socket: Socket;
  readonly early: Buffer;
}

/** A pooled connection may be closed by the other side in the very moment it is used. */
const LOST = new Set(["ECONNRESET", "EPIPE"]);
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS"]);
const ATTEMPTS_MAX = 3;

/**
 * One request on its way to kube-apiserver and the answer on its way back.
 *
 *   asking --response--> answering --end--> done
 *     |  '----101------> switched --close-> done
 *     '--error: Status      '-- error: broken off, so that it cannot pass for a complete answer
 *
 * Nothing is collected: each side is read as fast as the other takes it.
 */
export class Relay {
  readonly #forwarding: Forwarding;
  readonly #exchange: Exchange;
  readonly #context: RelayContext;
  #outgoing: ClientRequest | undefined;
  #incoming: IncomingMessage | undefined;
  #tunnel: readonly Duplex[] = [];
  #attempts = 0;
  #isClosed = false;

  constructor(forwarding: Forwarding, context: RelayContext) {
    this.#forwarding = forwarding;
    this.#exchange = forwarding.exchange;
    this.#context = context;
  }

  /** Has no end of its own. */
  get isEndless(): boolean {
    return this.#tunnel.length > 0 || isFollowing(this.#exchange.target);
  }

  start(): void {
    this.#exchange.onClose(() => this.#close());
    this.#ask();
  }

  /** Ends an endless answer as if it had come to its end. */
  end(): void {
    for (const socket of this.#tunnel) socket.destroy();
    if (this.#incoming === undefined || this.#isClosed) return;
    this.#incoming.unpipe();
    this.#exchange.end();
  }

  #ask(): void {
    this.#attempts += 1;
    const outgoing = this.#context.upstream.request(upstreamHead(this.#forwarding));
    this.#outgoing = outgoing;
    outgoing.on("error", (error) => this.#failed(outgoing, error));
    outgoing.on("information", (info) => this.#hand(() => this.#exchange.inform(info.statusCode, info.rawHeaders)));
    outgoing.once("response", (incoming) => this.#hand(() => this.#answer(incoming)));
    if (this.#forwarding.switchTo !== undefined)
      outgoing.once("upgrade", (incoming, socket, early) => this.#switch({ incoming, socket, early }));
    if (this.#exchange.body === undefined) outgoing.end();
    else this.#exchange.body.pipe(outgoing);
  }

  #answer(incoming: IncomingMessage): void {
    if (this.#isClosed) return void incoming.destroy();
    this.#incoming = incoming;
    this.#noteCredentials(incoming);
    const out = this.#exchange.respond({
      status: incoming.statusCode ?? 502,
      ...(incoming.statusMessage === undefined ? {} : { reason: incoming.statusMessage }),
      headers: returnedHeaders(incoming.rawHeaders),
      // A length tells that the body follows at once; a watch may have nothing to say for minutes.
      isOpenEnded: headerValue(incoming.rawHeaders, "content-length") === undefined,
    });
    incoming.on("error", () => this.#exchange.abort());
    incoming.once("close", () => {
      if (!incoming.complete) this.#exchange.abort();
    });
    incoming.once("end", () => {
      if (incoming.complete) this.#hand(() => this.#exchange.end(incoming.rawTrailers));
    });
    incoming.pipe(out, { end: false });
  }

  /** A pod behind kube-apiserver may answer with what the client's protocol cannot say: that is its failure, not ours. */
  #hand(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#outgoing?.destroy();
      this.#context.log.debug({ error }, "answer cannot be passed on");
      if (this.#exchange.isResponding) this.#exchange.abort();
      else sendFailure(this.#exchange, failures.badGateway);
    }
  }

  #switch({ incoming, socket, early }: Switched): void {
    const { switchTo } = this.#forwarding;
    if (switchTo === undefined || this.#isClosed) return void socket.destroy();
    this.#noteCredentials(incoming);
    const client = switchTo.accept();
    client.write(switchHead(incoming), "latin1");
    this.#tunnel = [client, socket];
    joinSockets({ socket: client, early: switchTo.early }, { socket, early });
  }

  #failed(outgoing: ClientRequest, error: Error): void {
    if (this.#isClosed || outgoing !== this.#outgoing) return;
    if (this.#exchange.isResponding) this.#exchange.abort();
    else if (this.#mayRepeat(outgoing, error)) this.#ask();
    else if (errorCode(error) === "ECONNREFUSED") sendFailure(this.#exchange, failures.apiserverNotReady);
    else {
      this.#context.log.warn({ error }, "request to kube-apiserver failed");
      sendFailure(this.#exchange, failures.badGateway);
    }
  }

  #mayRepeat(outgoing: ClientRequest, error: Error): boolean {
    const isSafe = REPEATABLE.has(this.#exchange.method) && this.#exchange.body === undefined;
    return isSafe && outgoing.reusedSocket && LOST.has(errorCode(error)) && this.#attempts < ATTEMPTS_MAX;
  }

  /** A token that kube-apiserver took is as good as a certificate: the tight limits no longer hold. */
  #noteCredentials(incoming: IncomingMessage): void {
    if (isAuthenticated(incoming.statusCode) && hasBearer(this.#exchange)) this.#exchange.connection.prove();
  }

  #close(): void {
    this.#isClosed = true;
    if (this.#tunnel.length > 0) return;
    const isComplete = this.#incoming?.complete === true && this.#outgoing?.writableFinished === true;
    if (!isComplete) this.#outgoing?.destroy();
  }
}

/**
 * Whether the request brings a bearer token, which kube-apiserver has to judge. As there, the token is what follows one
 * space: with anything else between, kube-apiserver sees none and may well serve the request, to nobody in particular.
 */
export function hasBearer({ headers }: Exchange): boolean {
  return /^\s*bearer [^ ]/i.test(headerValue(headers, "authorization")?.trimEnd() ?? "");
}

function upstreamHead({ exchange, identity, switchTo }: Forwarding) {
  const headers = forwardedHeaders(exchange.headers, {
    method: exchange.method,
    identity,
    clientAddress: exchange.connection.remoteAddress,
    hasBody: exchange.body !== undefined,
    expectsContinue: exchange.expectsContinue,
    ...(switchTo === undefined ? {} : { upgrade: switchTo.protocol }),
  });
  return { method: exchange.method, target: exchange.target, headers, carriesIdentity: identity !== undefined };
}

function switchHead(incoming: IncomingMessage): string {
  const lines = [...headerPairs(incoming.rawHeaders)].map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 101 ${incoming.statusMessage ?? "Switching Protocols"}\r\n${lines.join("")}\r\n`;
}

/** Go's HTTP server refuses many a request (400, 431, ...) before anybody looks at its token: only these come after. */
function isAuthenticated(status = 0): boolean {
  return status === 101 || (status >= 200 && status < 300) || status === 403;
}

/** Kubernetes' watches and followed logs. */
function isFollowing(target: string): boolean {
  const [path = "", query] = target.split("?", 2);
  const parameters = new URLSearchParams(query);
  const isOn = (name: string) => ["", "1", "true"].includes(parameters.get(name)?.toLowerCase() ?? "off");
  return isOn("watch") || isOn("follow") || /^\/apis?\/.*\/?watch\//.test(path);
}

function errorCode(error: Error): string {
  return "code" in error ? String(error.code) : "";
}
