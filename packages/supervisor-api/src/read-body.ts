import type { Exchange } from "./exchange.ts";
import { RouteRefusal } from "./route.ts";
import { failures } from "./status.ts";

/** The largest body the supervisor takes: certificate bundles and requests are far smaller. */
const BODY_BYTES_MAX = 1024 * 1024;

/** The whole body of a request. Rejects with RouteRefusal when it is too long, with another error when the client goes away. */
export async function readBody(exchange: Exchange): Promise<Buffer> {
  if (exchange.body === undefined) return Buffer.alloc(0);
  if (exchange.expectsContinue) exchange.inform(100, []);
  const chunks: Buffer[] = [];
  let bytes = 0;
  // The stream has to outlive a refusal: its other half carries the answer.
  for await (const chunk of exchange.body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new RouteRefusal(failures.tooLarge);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
