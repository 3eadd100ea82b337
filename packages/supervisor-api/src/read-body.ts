import { aborted, deadline } from "@k3s/async";
import type { Exchange } from "./exchange.ts";
import { RouteRefusal } from "./route.ts";
import { failures } from "./status.ts";

export interface BodyLimits {
  readonly bytesMax: number;
  /** For the whole body, however it comes. */
  readonly timeMs: number;
}

/**
 * The whole body of a request. Rejects with RouteRefusal when it is too long or too slow, with another error when the
 * client goes away.
 */
export async function readBody(exchange: Exchange, limits: BodyLimits): Promise<Buffer> {
  if (exchange.body === undefined) return Buffer.alloc(0);
  if (exchange.expectsContinue) exchange.inform(100, []);
  using limit = deadline(limits.timeMs, "Sending the body");
  // The stream has to outlive a refusal: its other half carries the answer.
  const body = exchange.body.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
  const late = aborted(limit);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const next = await Promise.race([body.next(), late]);
      if (next === undefined) throw new RouteRefusal(failures.bodyLate);
      if (next.done === true) return Buffer.concat(chunks);
      bytes += next.value.length;
      if (bytes > limits.bytesMax) throw new RouteRefusal(failures.tooLarge);
      chunks.push(next.value);
    }
  } finally {
    body.return?.().catch(() => undefined); // waits for the read that is under way
  }
}
