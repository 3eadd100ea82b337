import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Connects two streams for good: bytes both ways, each end is passed on, an error or the loss of one ends the other. */
export function joinStreams(a: Duplex, b: Duplex): void {
  follow(a, b);
  follow(b, a);
}

function follow(from: Duplex, to: Duplex): void {
  from.pipe(to);
  from.on("error", (error) => {
    if (to instanceof Socket) finish(to);
    else to.destroy(error);
  });
  from.once("close", () => finish(to));
  if (from.closed) finish(to);
}

/** Lets what is written go out, then closes. */
function finish(stream: Duplex): void {
  if (stream.destroyed) return;
  if (stream instanceof Socket) stream.destroySoon();
  else stream.end();
}
