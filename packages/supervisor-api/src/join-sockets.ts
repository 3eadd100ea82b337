import { Socket } from "node:net";
import type { Duplex } from "node:stream";

export interface Side {
  readonly socket: Duplex;
  /** Bytes that were read from it already. */
  readonly early: Buffer;
}

/** Connects two sockets for good: bytes both ways, the end of one direction is passed on alone, an error ends both. */
export function joinSockets(a: Side, b: Side): void {
  connect(a, b.socket);
  connect(b, a.socket);
}

function connect({ socket: from, early }: Side, to: Duplex): void {
  from.allowHalfOpen = true;
  if (from instanceof Socket) from.setTimeout(0);
  if (early.length > 0) to.write(early);
  from.pipe(to);
  from.on("error", () => to.destroy());
  from.once("close", () => finish(to));
  if (from.closed) finish(to);
}

/** Lets what is written go out, then closes. A stream that is no socket may have to wait for its peer with that. */
function finish(socket: Duplex): void {
  if (socket.destroyed) return;
  if (socket instanceof Socket) {
    socket.destroySoon();
    return;
  }
  socket.end();
  socket.unpipe(); // nobody else reads it now, and it closes only after its end was read
  socket.resume();
}
