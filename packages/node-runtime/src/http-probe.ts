import type { ListenerAddress } from "@k3s/control-plane";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

const MAX_REASON = 300;

/**
 * A readiness check over plain HTTP: resolves on status 200, rejects with what was answered instead. The address is
 * asked for each time; a program that has none, because it is told not to listen, counts as ready.
 */
export function httpProbe(
  path: string,
  address: () => ListenerAddress | undefined,
): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const listener = address();
    if (listener === undefined) return;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ ...listener, path, agent: false, signal }, resolve)
        .once("error", reject)
        .end();
    });
    const body = await text(response);
    if (response.statusCode === 200) return;
    throw new Error(`It answers ${response.statusCode ?? 0} on ${path}: ${body.trim().slice(0, MAX_REASON)}`);
  };
}
