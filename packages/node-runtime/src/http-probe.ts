import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

export interface HttpProbeOptions {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

const MAX_REASON = 300;

/** A readiness check over plain HTTP on loopback: resolves on status 200, rejects with what was answered instead. */
export function httpProbe({ host, port, path }: HttpProbeOptions): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ host, port, path, agent: false, signal }, resolve).once("error", reject).end();
    });
    const body = await text(response);
    if (response.statusCode === 200) return;
    throw new Error(`It answers ${response.statusCode ?? 0} on ${path}: ${body.trim().slice(0, MAX_REASON)}`);
  };
}
