import { NodeError } from "@k3s/errors";
import { redactEndpoint } from "./redact-endpoint.ts";

/** Why an endpoint cannot be used, and the way out. */
interface Refusal {
  /** What is wrong, as the end of a sentence; names the part, never a password. */
  readonly reason: string;
  readonly hint: string;
}

/** The datastore endpoint cannot be used as it was given. Its messages show the endpoint with passwords hidden. */
export class EndpointError extends NodeError {
  override readonly name = "EndpointError";
  /** The message without the endpoint: what is wrong with it. */
  readonly reason: string;
  /** The reason, with the way out where the command's help does not tell it. */
  readonly reasonAndCure: string;

  private constructor(code: `ERR_${string}`, message: string, refusal: Refusal) {
    super(code, message, { hint: refusal.hint });
    this.reason = refusal.reason;
    this.reasonAndCure = code === "ERR_ENDPOINT_MALFORMED" ? refusal.reason : `${refusal.reason}. ${refusal.hint}`;
  }

  static malformed(endpoint: string, reason: string): EndpointError {
    return new EndpointError(
      "ERR_ENDPOINT_MALFORMED",
      `Cannot use datastore endpoint "${redactEndpoint(endpoint)}": ${reason}`,
      {
        reason,
        hint: "k3s server --help lists the forms at --datastore-endpoint, k3s datastore serve --help at --endpoint",
      },
    );
  }

  static unknownScheme(endpoint: string, reason: string): EndpointError {
    return new EndpointError(
      "ERR_ENDPOINT_SCHEME",
      `Cannot use datastore endpoint "${redactEndpoint(endpoint)}": ${reason}`,
      {
        reason,
        hint: "Begin with sqlite://, mysql://, postgres://, nats://, or http://, https:// or unix:// for an etcd; leave it empty for SQLite in the data dir",
      },
    );
  }

  static unserved(endpoint: string, reason: string): EndpointError {
    return new EndpointError(
      "ERR_ENDPOINT_NOT_SERVED",
      `Cannot use datastore endpoint "${redactEndpoint(endpoint)}": ${reason}`,
      {
        reason,
        hint: "Use SQLite (sqlite:///path/to/state.db), MySQL, PostgreSQL, NATS or an etcd; SQLite on a tmpfs keeps data in memory only",
      },
    );
  }
}
