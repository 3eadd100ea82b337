import { describeError, NodeError, type ErrorCode } from "@k3s/errors";

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly cause?: unknown;
  readonly isFinal?: boolean;
}

/** A server that cannot be used, and whether waiting can help. */
export class ClusterError extends NodeError {
  override readonly name: string = "ClusterError";
  /** Whether asking again is in vain until somebody changes a setting. */
  readonly isFinal: boolean;

  private constructor({ code, message, hint, cause, isFinal }: Fault) {
    super(code, message, cause === undefined ? { hint } : { hint, cause });
    this.isFinal = isFinal ?? false;
  }

  static unreachable(url: string, cause: unknown): ClusterError {
    const hint = "Check that the server runs, that --server names it, and that no firewall drops its port";
    const message = `Cannot reach server ${url}: ${describeError(cause)}`;
    return new ClusterError({ code: "ERR_SERVER_UNREACHABLE", message, hint, cause });
  }

  static notK3s(url: string, statusLine: string): ClusterError {
    const hint = "Check that --server names the port of a k3s server (6443 unless it was changed)";
    const message = `Cannot get the CA certificates from ${url}: it answers ${statusLine}`;
    return new ClusterError({ code: "ERR_SERVER_NOT_K3S", message, hint });
  }

  static untrusted(url: string, cause: unknown): ClusterError {
    const message = `Cannot trust server ${url}: CA cert validation failed: ${describeError(cause)}`;
    const hint = isClock(cause)
      ? "Check the clocks of this machine and of the server: one of them is wrong"
      : "Check that --server names the server itself and not a proxy with a certificate of its own";
    return new ClusterError({ code: "ERR_SERVER_UNTRUSTED", message, hint, cause });
  }

  static wrongToken(url: string): ClusterError {
    const hint = "Give --token the content of server/node-token from a server of this cluster";
    const message = `Cannot join at ${url}: the server does not accept the token (401 Unauthorized)`;
    return new ClusterError({ code: "ERR_TOKEN_REFUSED", message, hint, isFinal: true });
  }

  /** A bootstrap token may come into force yet: kube-apiserver has to know it, and it can be made anew under its name. */
  static bootstrapToken(url: string): ClusterError {
    const hint =
      "Look at the token on a server (k3s token list): it may have ended; k3s token create makes another one";
    const message = `Cannot join at ${url}: the server does not know the bootstrap token (401 Unauthorized)`;
    return new ClusterError({ code: "ERR_BOOTSTRAP_TOKEN_REFUSED", message, hint });
  }

  static forbidden(what: string, detail: string): ClusterError {
    const hint = "Agents join with the node or agent token, servers with the server token";
    const message = `Cannot use ${what}: the server refuses it to the holder of this token (403 Forbidden): ${detail}`;
    return new ClusterError({ code: "ERR_TOKEN_FORBIDDEN", message, hint, isFinal: true });
  }

  static nodePassword(names: { readonly node: string; readonly file: string }): ClusterError {
    const message =
      `Node password rejected, duplicate hostname or contents of '${names.file}' may not match server node-passwd entry, ` +
      "try enabling a unique node name with the --with-node-id flag";
    const hint =
      `If this machine is node "${names.node}" set up anew, remove the old one on a server: ` +
      `kubectl delete node ${names.node}; kubectl -n kube-system delete secret ${names.node}.node-password.k3s`;
    return new ClusterError({ code: "ERR_NODE_PASSWORD", message, hint });
  }

  static failed(what: string, status: { readonly line: string; readonly message: string }): ClusterError {
    const hint = "This is tried again; if it stays, look at the log of the server";
    const message = `Cannot use ${what}: ${status.message === "" ? status.line : `${status.message} (${status.line})`}`;
    return new ClusterError({ code: "ERR_SERVER_FAILED", message, hint });
  }
}

function isClock(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "CERT_NOT_YET_VALID" || code === "CERT_HAS_EXPIRED";
}
