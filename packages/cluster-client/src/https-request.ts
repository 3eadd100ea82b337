import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { deadline } from "@k3s/async";
import { systemAuthorities } from "@k3s/pki";

export interface HttpsRequest {
  readonly url: URL;
  readonly method?: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** What the server's certificate is checked against: a bundle, the machine's own list, or nothing. */
  readonly trust: Buffer | "system" | "nobody";
  /** Client certificate, PEM. */
  readonly pair?: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  readonly signal: AbortSignal;
}

export interface HttpsAnswer {
  readonly status: number;
  readonly statusLine: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** For connecting, asking and the whole answer together (k3s). */
const LIMIT_MS = 10_000;
/** More than any answer of a supervisor. */
const BODY_BYTES_MAX = 16 * 1024 * 1024;

/** One request on a connection of its own. Rejects with Node's error when there is no answer. */
export async function httpsRequestOnce(options: HttpsRequest): Promise<HttpsAnswer> {
  const { url, method = "GET", headers = {}, body, trust, pair } = options;
  using limit = deadline(LIMIT_MS, `Asking ${url.origin}`, options.signal);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpsRequest(
      url,
      {
        method,
        headers: body === undefined ? headers : { ...headers, "content-length": String(body.length) },
        agent: false, // a balancer may send the next one elsewhere
        rejectUnauthorized: trust !== "nobody",
        ...(trust === "nobody" ? {} : { ca: trust === "system" ? systemAuthorities() : trust }),
        ...(pair === undefined ? {} : pair),
        signal: limit,
      },
      resolve,
    );
    request.on("error", (error) => reject(limit.aborted && !options.signal.aborted ? (limit.reason as Error) : error));
    request.end(body);
  });
  return {
    status: response.statusCode ?? 0,
    statusLine: `${response.statusCode ?? 0} ${response.statusMessage ?? ""}`.trim(),
    headers: response.headers,
    body: await buffer(bounded(response)),
  };
}

async function* bounded(response: IncomingMessage): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error("the answer is too long");
    yield chunk;
  }
}
