import { describeError, NodeError } from "@k3s/errors";

/** A kubeconfig that leads to no cluster, with the way out. Never holds what the file says. */
export class KubeconfigError extends NodeError {
  override readonly name = "KubeconfigError";

  static absent(path: string): KubeconfigError {
    return new KubeconfigError("ERR_KUBECONFIG_ABSENT", `Cannot read kubeconfig "${path}": there is no such file`, {
      hint: "Run this on a server that has started once, or name another kubeconfig with --kubeconfig or KUBECONFIG",
    });
  }

  static unreadable(path: string, cause: unknown): KubeconfigError {
    const message = `Cannot read kubeconfig "${path}": ${describeError(cause)}`;
    return new KubeconfigError("ERR_KUBECONFIG_UNREADABLE", message, {
      hint: "Run this as root, or name a kubeconfig that you may read with --kubeconfig",
      cause,
    });
  }

  static malformed(path: string, reason: string): KubeconfigError {
    return new KubeconfigError("ERR_KUBECONFIG_MALFORMED", `Cannot use kubeconfig "${path}": ${reason}`, {
      hint: "Compare it with the one that a server writes to /etc/rancher/k3s/k3s.yaml",
    });
  }

  static unsupported(path: string, what: string): KubeconfigError {
    return new KubeconfigError("ERR_KUBECONFIG_UNSUPPORTED", `Cannot use kubeconfig "${path}": it asks for ${what}`, {
      hint: "Use a kubeconfig with a client certificate or a token, such as /etc/rancher/k3s/k3s.yaml of a server",
    });
  }
}
