import type { Readable, Writable } from "node:stream";
import type { Connection } from "./connection.ts";
import type { RawHeaders } from "./raw-headers.ts";

export interface ResponseHead {
  readonly status: number;
  readonly reason?: string;
  readonly headers: RawHeaders;
  /** Ask the client not to use the connection again. */
  readonly lastOnConnection?: boolean;
  /** Its length is not known: the head goes out at once, and the end may bring trailers. */
  readonly isOpenEnded?: boolean;
}

/** One request and the means to answer it, the same for HTTP/1.1 and HTTP/2. */
export interface Exchange {
  readonly method: string;
  /** Path and query as the client wrote them. */
  readonly target: string;
  /** Without pseudo headers; HTTP/2's `:authority` is the `Host`. */
  readonly headers: RawHeaders;
  /** Undefined when the request ends with its head. */
  readonly body: Readable | undefined;
  readonly connection: Connection;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  readonly isResponding: boolean;
  /** An interim (1xx) response. */
  inform(status: number, headers: RawHeaders): void;
  /** Starts the answer; may be called once. The body goes into the returned stream, which `end()` closes. */
  respond(head: ResponseHead): Writable;
  /** Completes the answer. */
  end(trailers?: RawHeaders): void;
  /** Breaks the answer off in a way that the client can tell from its regular end. */
  abort(): void;
  /** Calls back once, when the answer is complete or the client is gone. */
  onClose(listener: () => void): void;
}
