import type { Exchange } from "./exchange.ts";

/** What went wrong, in the terms of a Kubernetes `Status` (k8s.io/apimachinery, meta/v1). */
export interface Failure {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

/** Every refusal of the supervisor's own paths, as the code, reason and message of a metav1.Status. */
export const failures = {
  etcdDisabled: { code: 400, reason: "BadRequest", message: "etcd datastore disabled" },
  badTarget: { code: 400, reason: "BadRequest", message: "request target is neither a path nor an absolute URL" },
  notAuthorized: { code: 401, reason: "Unauthorized", message: "not authorized" },
  unauthorized: { code: 401, reason: "Unauthorized", message: "Unauthorized" },
  forbidden: { code: 403, reason: "Forbidden", message: "forbidden" },
  notFound: { code: 404, reason: "NotFound", message: "the server could not find the requested resource" },
  methodNotAllowed: { code: 405, reason: "MethodNotAllowed", message: "method not allowed" },
  upgradeNeeded: { code: 400, reason: "BadRequest", message: "websocket upgrade required" },
  bodyLate: { code: 408, reason: "Timeout", message: "request body did not come in time" },
  tooLarge: { code: 413, reason: "RequestEntityTooLarge", message: "request body is too large" },
  laneFull: {
    code: 429,
    reason: "TooManyRequests",
    message: "Too many requests, please try again later.", // the text of Kubernetes' filter
    retryAfterSeconds: 1,
  },
  tooManyRequests: {
    code: 429,
    reason: "TooManyRequests",
    message: "too many requests of unknown clients",
    retryAfterSeconds: 1,
  },
  internal: { code: 500, reason: "InternalError", message: "Internal error occurred: request failed" },
  badGateway: { code: 502, reason: "InternalError", message: "apiserver connection failed" },
  starting: { code: 503, reason: "ServiceUnavailable", message: "starting" },
  coreNotReady: { code: 503, reason: "ServiceUnavailable", message: "runtime core not ready" },
  apiserverNotReady: { code: 503, reason: "ServiceUnavailable", message: "apiserver not ready" },
} as const satisfies Record<string, Failure>;

/** Answers with a `Status` object and asks for the connection to be closed. */
export function sendFailure(exchange: Exchange, failure: Failure): void {
  const text = `${JSON.stringify(statusObject(failure))}\n`;
  const headers = ["Content-Type", "application/json", "Content-Length", String(Buffer.byteLength(text))];
  if (failure.retryAfterSeconds !== undefined) headers.push("Retry-After", String(failure.retryAfterSeconds));
  exchange.respond({ status: failure.code, headers, lastOnConnection: true }).end(text);
}

function statusObject({ code, reason, message, retryAfterSeconds }: Failure): object {
  const details = retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } };
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, ...details, code };
}
