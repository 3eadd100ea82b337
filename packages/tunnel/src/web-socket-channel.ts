import type { Duplex } from "node:stream";
import { deadline } from "@k3s/async";
import type { WebSocket } from "ws";
import type { ChannelListener, MessageChannel } from "./message-channel.ts";

/** Queued bytes above which data has to wait; what is under way inside the kernel comes on top. */
const CONGESTED_BYTES = 256 * 1024;
/** A peer that reads nothing while we answer it is let go: data waits, but answers do not. */
const QUEUED_MAX_BYTES = 16 * 2 ** 20;
const CLOSE_LIMIT_MS = 5_000;

/** Settings of every websocket of the tunnel, on either side. */
export const WEB_SOCKET_OPTIONS = {
  perMessageDeflate: false,
  /** Peers send 32 KiB; this leaves room for lists of connections. */
  maxPayload: 2 ** 20,
  skipUTF8Validation: true, // text ends the session anyway
} as const;

/** A message channel on an open websocket whose bytes go through `socket`. */
export class WebSocketChannel implements MessageChannel {
  readonly #webSocket: WebSocket;
  readonly #socket: Duplex;

  constructor(webSocket: WebSocket, socket: Duplex) {
    this.#webSocket = webSocket;
    this.#socket = socket;
  }

  get isCongested(): boolean {
    return this.#socket.writableLength > CONGESTED_BYTES;
  }

  listen(listener: ChannelListener): void {
    let failure: Error | undefined;
    this.#webSocket.on("message", (message, isBinary) => {
      // Sound: "nodebuffer" is the default of binaryType.
      if (isBinary) listener.onMessage(message as Buffer);
      else listener.onStrangeMessage();
    });
    this.#webSocket.on("ping", () => listener.onAlive());
    this.#webSocket.on("pong", () => listener.onAlive());
    this.#webSocket.on("error", (error) => {
      failure = error;
    });
    this.#socket.on("drain", () => listener.onDrain());
    this.#webSocket.on("close", (code) => listener.onClose(failure ?? closeError(code)));
    this.#webSocket.resume();
  }

  send(message: Buffer, done: () => void = ignore): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    if (this.#socket.writableLength > QUEUED_MAX_BYTES) this.terminate();
    else this.#webSocket.send(message, done);
  }

  ping(): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.ping(undefined, undefined, ignore);
  }

  close(): void {
    const limit = deadline(CLOSE_LIMIT_MS, "Closing a tunnel session");
    limit.addEventListener("abort", () => this.terminate(), { once: true });
    this.#webSocket.once("close", () => limit[Symbol.dispose]());
    this.#webSocket.close();
  }

  terminate(): void {
    this.#webSocket.terminate();
  }
}

/** Go's side often goes without a word (1006) where it means a regular end. */
function closeError(code: number): Error | undefined {
  return code === 1000 || code === 1001 || code === 1005 ? undefined : new Error(`Websocket closed with code ${code}`);
}

function ignore(): void {
  // The "close" event tells.
}
