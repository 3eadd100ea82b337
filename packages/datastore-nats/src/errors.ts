import { DriverError, type DriverErrorKind } from "@k3s/datastore";
import { NodeError } from "@k3s/errors";
import { JetStreamApiError } from "@nats-io/jetstream";

/** The bucket cannot be used as it is, or not with this endpoint. `endpoint` is text without secrets. */
export class NatsError extends NodeError {
  override readonly name = "NatsError";

  static badEndpoint(endpoint: string, problems: readonly string[]): NatsError {
    return new NatsError("ERR_NATS_ENDPOINT", `Cannot use datastore endpoint "${endpoint}": ${problems.join("; ")}`, {
      hint: "The form is nats://[user:password@|token@]host:port[,host:port…][?bucket=kine&replicas=1&revHistory=10]",
    });
  }

  static badFile(path: string, cause: unknown): NatsError {
    return new NatsError(
      "ERR_NATS_FILE",
      `Cannot read file "${path}" of the NATS endpoint: it is missing or malformed`,
      {
        hint: "credsFile names a credentials file of NATS, contextFile a context file of the nats command; TLS files are in PEM form",
        cause,
      },
    );
  }

  static unreachable(endpoint: string, cause: unknown): NatsError {
    return new NatsError("ERR_NATS_UNREACHABLE", `Cannot connect to "${endpoint}": no NATS server answers`, {
      hint: "Look whether the server runs and whether host, port and TLS files are right",
      cause,
    });
  }

  static foreign(endpoint: string, cause: unknown): NatsError {
    return new NatsError(
      "ERR_NATS_FOREIGN",
      `Cannot connect to "${endpoint}": the connection is taken, but no greeting of NATS comes`,
      {
        hint: "Look which program listens there: address and port of the endpoint must be those of clients of a NATS server that is not stuck and does not want TLS first",
        cause,
      },
    );
  }

  static refused(endpoint: string, cause: unknown): NatsError {
    return new NatsError(
      "ERR_NATS_REFUSED",
      `Cannot connect to "${endpoint}": the NATS server refused the credentials`,
      {
        hint: "Look at user, password, token or credentials file of the endpoint, and at the permissions of that user",
        cause,
      },
    );
  }

  static untrusted(endpoint: string, cause: unknown): NatsError {
    return new NatsError("ERR_NATS_TLS", `Cannot connect to "${endpoint}": TLS with the NATS server fails`, {
      hint: "Look whether the CA file signed the server's certificate, the certificate has the host's name, and the server has TLS switched on",
      cause,
    });
  }

  static noJetStream(endpoint: string, cause: unknown): NatsError {
    return new NatsError("ERR_NATS_NO_JETSTREAM", `Cannot use "${endpoint}": it has no JetStream for this account`, {
      hint: "Start nats-server with -js or a jetstream block, and enable JetStream for the account",
      cause,
    });
  }

  static absent(endpoint: string, bucket: string): NatsError {
    return new NatsError("ERR_NATS_ABSENT", `Cannot read "${endpoint}": it has no bucket "${bucket}"`, {
      hint: "Look at bucket= of the endpoint and at the account of the user; a server makes the bucket when it starts",
    });
  }

  static badBucket(bucket: string, state: string): NatsError {
    return new NatsError("ERR_NATS_BUCKET", `Cannot use bucket "${bucket}": ${state}`, {
      hint: "Name another bucket in the endpoint, or change this one with: nats stream edit",
    });
  }

  static tooManyReplicas(bucket: string, cause: Error): NatsError {
    return new NatsError("ERR_NATS_REPLICAS", `Cannot make bucket "${bucket}": ${cause.message}`, {
      hint: "Name as many replicas= in the endpoint as the cluster has NATS servers with JetStream, or fewer; a server that stands alone has one",
      cause,
    });
  }

  /** `history`: messages that the bucket keeps of each key. */
  static noMaxBytes(bucket: string, history: number, cause: Error): NatsError {
    return new NatsError("ERR_NATS_MAX_BYTES", `Cannot make bucket "${bucket}": ${cause.message}`, {
      hint: `Take max_bytes_required from the account, or make the bucket with a size that it will never reach: nats stream add KV_${bucket} --subjects='$KV.${bucket}.>' --max-msgs-per-subject=${history} --max-bytes=10GB --discard=new --allow-direct --allow-rollup --defaults`,
      cause,
    });
  }

  static noRoom(bucket: string, cause: Error): NatsError {
    return new NatsError("ERR_NATS_LIMITS", `Cannot make bucket "${bucket}": ${cause.message}`, {
      hint: "Raise the limits of the account or of the NATS server: two buckets kept in files are needed (nats account info)",
      cause,
    });
  }

  static refusedBucket(bucket: string, cause: Error): NatsError {
    return new NatsError("ERR_NATS_BUCKET_REFUSED", `Cannot open bucket "${bucket}": ${cause.message}`, {
      hint: "This is the NATS server's own word: change its configuration or what is in the account, or name another bucket in the endpoint",
      cause,
    });
  }
}

/** JetStream's numbers for a write that came too late. */
const CONFLICT_CODES: ReadonlySet<number> = new Set([10_070, 10_071, 10_164]);
/** Its numbers for a lack of room: of the account, of the server, of the stream or its disk. */
const NO_SPACE_CODES: ReadonlySet<number> = new Set([10_002, 10_023, 10_028, 10_047, 10_077]);

/** What the store is told of a failure; `verb` says what was to be done. */
export function toDriverError(verb: string, error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const kind = kindOf(error);
  const state = { conflict: "another program wrote first", noSpace: "there is no room left", failed: "NATS failed" };
  return new DriverError(kind, `Cannot ${verb}: ${state[kind]}`, { cause: error });
}

function kindOf(error: unknown): Exclude<DriverErrorKind, "refused"> {
  if (!(error instanceof JetStreamApiError)) return "failed";
  if (CONFLICT_CODES.has(error.code)) return "conflict";
  return NO_SPACE_CODES.has(error.code) ? "noSpace" : "failed";
}
