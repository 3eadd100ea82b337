/** The API server's answer to a request it did not carry out: HTTP status and, where given, the reason of its metav1.Status. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }

  /** Builds the error from an answer's body, which may or may not be a metav1.Status. */
  static fromBody(status: number, body: string): ApiError {
    try {
      const parsed: unknown = JSON.parse(body);
      if (isStatus(parsed)) return new ApiError(status, parsed.reason ?? "", parsed.message ?? `HTTP ${status}`);
    } catch {
      // Not JSON: the text itself is all there is.
    }
    return new ApiError(status, "", `HTTP ${status}: ${body.slice(0, 300)}`);
  }
}

/** Whether the object was there already, or has changed since it was read (409). */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

function isStatus(value: unknown): value is { readonly reason?: string; readonly message?: string } {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "Status";
}
