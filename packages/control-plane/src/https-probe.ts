import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request, type RequestOptions } from "node:https";
import { text } from "node:stream/consumers";
import type { CertificatePair } from "@k3s/pki";

export interface HttpsProbeOptions {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** What the server's certificate must be for, when that is not `host`. */
  readonly serverName?: string;
  /** File with the authorities that may have signed the server's certificate. */
  readonly caFile: string;
  /** Files of the certificate we show. */
  readonly client?: CertificatePair;
}

const MAX_REASON = 500;

/** A readiness check: resolves on status 200 and rejects with what the program said instead. Reads the files each time. */
export function httpsProbe(options: HttpsProbeOptions): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const [ca, cert, key] = await Promise.all([
      readFile(options.caFile),
      options.client === undefined ? undefined : readFile(options.client.cert),
      options.client === undefined ? undefined : readFile(options.client.key),
    ]);
    const { host, port, path, serverName } = options;
    const name = serverName === undefined ? {} : { servername: serverName };
    const tls = { ca, ...name, ...(cert === undefined || key === undefined ? {} : { cert, key }) };
    const response = await get({ host, port, path, ...tls, agent: false, signal });
    const body = await text(response);
    if (response.statusCode === 200) return;
    throw new Error(`It answers ${response.statusCode ?? 0} on ${path}: ${failedChecks(body)}`);
  };
}

function get(options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(options, resolve).once("error", reject).end();
  });
}

/** The lines of a verbose health answer that name a failed check; else the beginning of the answer. */
function failedChecks(body: string): string {
  const failed = body.split("\n").filter((line) => line.startsWith("[-]"));
  return (failed.length > 0 ? failed.join("; ") : body.trim()).slice(0, MAX_REASON);
}
