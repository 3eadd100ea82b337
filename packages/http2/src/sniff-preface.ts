import type { Socket } from "node:net";
import { deadline } from "@k3s/async";
import { PREFACE } from "./frame.ts";

export interface Protocols {
  readonly http2: (socket: Socket) => void;
  /** Anything else: taken for HTTP/1.1. */
  readonly http1: (socket: Socket) => void;
  /** Time until the first bytes tell which it is; then the socket is cut. */
  readonly limitMs: number;
}

/**
 * Hands a connected socket to the protocol that its first bytes belong to, with these bytes put back and no listener of
 * ours left on it.
 */
export function sniffPreface(socket: Socket, { http2, http1, limitMs }: Protocols): void {
  const limit = deadline(limitMs, "Telling the protocol of a connection");
  let seen: Buffer = Buffer.alloc(0);
  const release = () => {
    limit[Symbol.dispose]();
    socket.off("data", onData).off("close", release).off("error", onError);
  };
  const onError = () => socket.destroy();
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const count = Math.min(seen.length, PREFACE.length);
    const isMatch = PREFACE.compare(seen, 0, count, 0, count) === 0;
    if (isMatch && count < PREFACE.length) return;
    socket.pause();
    release();
    socket.unshift(seen);
    if (isMatch) http2(socket);
    else http1(socket);
  };
  limit.addEventListener("abort", onError, { once: true });
  socket.on("data", onData).once("close", release).on("error", onError);
}
