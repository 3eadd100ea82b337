import { constants, type ServerHttp2Stream } from "node:http2";
import type { Readable, Writable } from "node:stream";
import type { Connection } from "./connection.ts";
import type { Exchange, ResponseHead } from "./exchange.ts";
import { groupHeaders, headerPairs, type RawHeaders } from "./raw-headers.ts";

export interface Http2Request {
  readonly stream: ServerHttp2Stream;
  /** Flat, with pseudo headers. */
  readonly rawHeaders: RawHeaders;
  readonly connection: Connection;
}

/** A request of an HTTP/2 client: one stream of its session. */
export class Http2Exchange implements Exchange {
  readonly method: string;
  readonly target: string;
  readonly headers: RawHeaders;
  readonly body: Readable | undefined;
  readonly connection: Connection;
  readonly expectsContinue: boolean;
  readonly #stream: ServerHttp2Stream;

  constructor({ stream, rawHeaders, connection }: Http2Request) {
    const pseudo = pseudoHeaders(rawHeaders);
    this.method = pseudo.get(":method") ?? "GET";
    this.target = pseudo.get(":path") ?? "";
    this.headers = plainHeaders(rawHeaders, pseudo.get(":authority"));
    this.body = stream.endAfterHeaders ? undefined : stream;
    this.connection = connection;
    this.expectsContinue = this.body !== undefined && expects(rawHeaders);
    this.#stream = stream;
    stream.on("error", ignore); // the client went away; onClose tells
    if (this.body === undefined) stream.resume();
  }

  get isResponding(): boolean {
    return this.#stream.headersSent;
  }

  inform(status: number, headers: RawHeaders): void {
    if (this.#stream.headersSent || this.#isGone()) return;
    this.#stream.additionalHeaders({ ":status": status, ...groupHeaders(headers) });
  }

  respond(head: ResponseHead): Writable {
    const stream = this.#stream;
    if (this.#isGone()) return stream;
    const headers = [":status", String(head.status)];
    for (const [name, value] of headerPairs(head.headers)) headers.push(name.toLowerCase(), value);
    // Node marks the last data frame as the end also when a stream is closed with an error, unless trailers may follow.
    stream.respond(headers, { waitForTrailers: head.isOpenEnded === true });
    if (head.lastOnConnection === true) stream.session?.close();
    // The answer is complete: a body that is still on its way has no reader any more.
    stream.once("finish", () => {
      if (this.body?.readableEnded === false) stream.close(constants.NGHTTP2_NO_ERROR);
    });
    return stream;
  }

  end(trailers: RawHeaders = []): void {
    const stream = this.#stream;
    stream.once("wantTrailers", () => {
      try {
        stream.sendTrailers(groupHeaders(trailers));
      } catch {
        this.abort(); // HTTP/2 cannot say them
      }
    });
    stream.end();
  }

  abort(): void {
    this.#stream.once("wantTrailers", ignore); // left out, so that nothing looks like a regular end
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  onClose(listener: () => void): void {
    if (this.#stream.destroyed) listener();
    else this.#stream.once("close", listener);
  }

  #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }
}

function pseudoHeaders(headers: RawHeaders): ReadonlyMap<string, string> {
  return new Map([...headerPairs(headers)].filter(([name]) => name.startsWith(":")));
}

/** What an HTTP/1.1 server expects to see: one Host, and the crumbs of Cookie in one line (RFC 9113, 8.2.3). */
function plainHeaders(headers: RawHeaders, authority: string | undefined): RawHeaders {
  const plain = authority === undefined ? [] : ["Host", authority];
  const crumbs: string[] = [];
  for (const [name, value] of headerPairs(headers)) {
    if (name === "cookie") crumbs.push(value);
    else if (!name.startsWith(":") && (name !== "host" || authority === undefined)) plain.push(name, value);
  }
  if (crumbs.length > 0) plain.push("Cookie", crumbs.join("; "));
  return plain;
}

function expects(headers: RawHeaders): boolean {
  return [...headerPairs(headers)].some(([name, value]) => name === "expect" && value.toLowerCase() === "100-continue");
}

function ignore(): void {
  // What matters is reported through onClose().
}
