import { NodeError } from "@k3s/errors";

/** A call did not succeed. `isAway`: no server answered, or none could; the outcome of a write is then open. */
export class EtcdCallError extends Error {
  override readonly name = "EtcdCallError";
  readonly isAway: boolean;
  /** What etcd said, such as `etcdserver: mvcc: required revision has been compacted`, or why it could not be asked. */
  readonly details: string;

  constructor(options: { readonly isAway: boolean; readonly details: string; readonly cause: unknown }) {
    super(`Cannot call etcd: ${options.details}`, { cause: options.cause });
    this.isAway = options.isAway;
    this.details = options.details;
  }
}

/** An etcd cannot be used with the settings given. */
export class EtcdClientError extends NodeError {
  override readonly name = "EtcdClientError";

  /** Without the failure as its cause: a line of the log would say the same twice. */
  static unreachable(servers: readonly string[], { details }: EtcdCallError): EtcdClientError {
    return new EtcdClientError("ERR_ETCD_UNREACHABLE", `Cannot reach etcd at ${servers.join(", ")}: ${details}`, {
      hint: "Check that etcd runs, that the addresses are those of its clients, and that the CA, certificate and key are the right ones",
    });
  }

  static tlsFile(path: string, cause: unknown): EtcdClientError {
    return new EtcdClientError("ERR_ETCD_TLS_FILE", `Cannot read TLS file "${path}" for etcd`, {
      hint: "Name PEM files that this user may read",
      cause,
    });
  }
}
