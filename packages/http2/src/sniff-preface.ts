import type { Socket } from "node:net";
import { deadline } from "@k3s/async";
import { PREFACE } from "./frame.ts";

export interface Protocols {
  readonly http2: (socket: Socket) => void;
  /** Anything else: taken for HTTP/1.1. */
  readonly http1: (socket: Socket) => void;
  /** What begins as a client of TLS does. Default: for HTTP/1.1 as well. */
  readonly tls?: ((socket: Socket) => void) | undefined;
  /** Time until the first bytes tell which it is; then the socket is cut. */
  readonly limitMs: number;
}

/** A record of the handshake, and the first byte of every version. */
const CLIENT_HELLO = Buffer.of(0x16, 0x03);

/**
 * Hands a connected socket to the protocol that its first bytes belong to, with these bytes put back and no listener of
 * ours left on it.
 */
export function sniffPreface(socket: Socket, { http2, http1, tls = http1, limitMs }: Protocols): void {
  const limit = deadline(limitMs, "Telling the protocol of a connection");
  let seen: Buffer = Buffer.alloc(0);
  const release = () => {
    limit[Symbol.dispose]();
    socket.off("data", onData).off("close", release).off("error", onError);
  };
  const onError = () => socket.destroy();
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const [isHttp2, isTls] = [beginsAs(PREFACE, seen), beginsAs(CLIENT_HELLO, seen)];
    if (isHttp2 === undefined || isTls === undefined) return;
    socket.pause();
    release();
    socket.unshift(seen);
    if (isHttp2) http2(socket);
    else if (isTls) tls(socket);
    else http1(socket);
  };
  limit.addEventListener("abort", onError, { once: true });
  socket.on("data", onData).once("close", release).on("error", onError);
}

/** Undefined: too little was seen to tell. */
function beginsAs(mark: Buffer, seen: Buffer): boolean | undefined {
  const count = Math.min(seen.length, mark.length);
  if (mark.compare(seen, 0, count, 0, count) !== 0) return false;
  return count < mark.length ? undefined : true;
}
