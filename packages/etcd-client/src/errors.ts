import { NodeError } from "@k3s/errors";

interface EtcdCallFailure {
  readonly isAway: boolean;
  readonly details: string;
  readonly silentMs?: number;
  readonly cause: unknown;
}

/** A call did not succeed. `isAway`: no server answered, or none could; the outcome of a write is then open. */
export class EtcdCallError extends Error {
  override readonly name = "EtcdCallError";
  readonly isAway: boolean;
  /** What etcd said, such as `etcdserver: mvcc: required revision has been compacted`, or why it could not be asked. */
  readonly details: string;
  /** How long a server that is connected has not answered; undefined: it was something else. */
  readonly silentMs: number | undefined;

  constructor(options: EtcdCallFailure) {
    super(`Cannot call etcd: ${options.details}`, { cause: options.cause });
    this.isAway = options.isAway;
    this.details = options.details;
    this.silentMs = options.silentMs;
  }

  /** etcd has not refused: whether a write that was under way took effect is open. */
  static closed(): EtcdCallError {
    return new EtcdCallError({ isAway: true, details: "the client was closed", cause: undefined });
  }
}

/** An etcd cannot be used with the settings given. */
export class EtcdClientError extends NodeError {
  override readonly name = "EtcdClientError";

  /** Of a call that was away, without it as the cause: a line of the log would say the same twice. */
  static away(servers: readonly string[], { details, silentMs }: EtcdCallError): EtcdClientError {
    const where = servers.join(", ");
    return silentMs === undefined
      ? EtcdClientError.#unreachable(where, details)
      : EtcdClientError.#late(where, formatSeconds(silentMs));
  }

  static #unreachable(servers: string, details: string): EtcdClientError {
    return new EtcdClientError("ERR_ETCD_UNREACHABLE", `Cannot reach etcd at ${servers}: ${details}`, {
      hint: "Check that etcd runs, that the addresses are those of its clients, and that the CA (--ca-file, of k3s server --datastore-cafile), the certificate and the key are the right ones",
    });
  }

  static #late(servers: string, limit: string): EtcdClientError {
    return new EtcdClientError("ERR_ETCD_LATE", `Cannot use etcd at ${servers}: it did not answer within ${limit}`, {
      hint: "It is connected, but busy or stuck: look at its log, its processor and its disk, then try again; a change that was asked for may still take effect",
    });
  }

  static tlsFile(path: string, cause: unknown): EtcdClientError {
    return new EtcdClientError("ERR_ETCD_TLS_FILE", `Cannot read TLS file "${path}" for etcd`, {
      hint: "Name PEM files that this user may read",
      cause,
    });
  }
}

/** To a tenth: what connecting took is no news. */
export function formatSeconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
