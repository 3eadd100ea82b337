import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex, Readable, Writable } from "node:stream";
import type { Connection } from "./connection.ts";
import type { Exchange, ResponseHead } from "./exchange.ts";
import { groupHeaders, headerPairs, type RawHeaders } from "./raw-headers.ts";

export interface Http1ExchangeOptions {
  readonly connection: Connection;
  readonly target: string;
  readonly expectsContinue?: boolean;
  /** For a socket that HTTP has let go of: the exchange lasts as long as it. */
  readonly socket?: Duplex;
}

/** A request of an HTTP/1.1 (or 1.0) client. */
export class Http1Exchange implements Exchange {
  readonly method: string;
  readonly target: string;
  readonly headers: RawHeaders;
  readonly body: Readable | undefined;
  readonly connection: Connection;
  readonly expectsContinue: boolean;
  readonly #response: ServerResponse;
  readonly #lifetime: Duplex | ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse, options: Http1ExchangeOptions) {
    this.method = request.method ?? "GET";
    this.target = options.target;
    this.headers = request.rawHeaders;
    this.body = hasBody(request) ? request : undefined;
    this.connection = options.connection;
    this.expectsContinue = options.expectsContinue ?? false;
    this.#response = response;
    this.#lifetime = options.socket ?? response;
    request.on("error", ignore); // the client went away; onClose tells
    response.on("error", ignore);
  }

  get isResponding(): boolean {
    return this.#response.headersSent;
  }

  inform(status: number, headers: RawHeaders): void {
    if (this.#response.headersSent || this.#response.destroyed) return;
    if (status === 100) this.#response.writeContinue();
    else if (status === 102) this.#response.writeProcessing();
    else if (status === 103) this.#response.writeEarlyHints(groupHeaders(headers));
  }

  respond(head: ResponseHead): Writable {
    const response = this.#response;
    const headers = head.lastOnConnection === true ? [...head.headers, "Connection", "close"] : [...head.headers];
    response.writeHead(head.status, head.reason ?? STATUS_CODES[head.status] ?? "", headers);
    if (head.isOpenEnded === true) response.flushHeaders();
    return response;
  }

  end(trailers: RawHeaders = []): void {
    this.#response.addTrailers([...headerPairs(trailers)].map(([name, value]): [string, string] => [name, value]));
    this.#response.end();
  }

  abort(): void {
    this.#response.destroy();
  }

  onClose(listener: () => void): void {
    if (this.#lifetime.closed) listener();
    else this.#lifetime.once("close", listener);
  }
}

/** Whether anything follows the head. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
}

function ignore(): void {
  // Reported through onClose().
}
