import { NodeError } from "@k3s/errors";

/** What a server says of its cluster cannot be used. */
export class ClusterConfigError extends NodeError {
  override readonly name = "ClusterConfigError";

  static unreadable(cause: unknown): ClusterConfigError {
    const hint = "Check that --server names a k3s server and not a proxy that answers in its place";
    const message = "Cannot read the configuration of the server: it is not the document that was expected";
    return new ClusterConfigError("ERR_CLUSTER_CONFIG_UNREADABLE", message, { hint, cause });
  }

  static incomplete(field: string): ClusterConfigError {
    const hint = "Check that --server names a k3s server of a version near this one";
    const message = `Cannot use the configuration of the server: ${field} is missing or wrong`;
    return new ClusterConfigError("ERR_CLUSTER_CONFIG_INCOMPLETE", message, { hint });
  }

  static downLevel(minimum: string): ClusterConfigError {
    const hint = `Upgrade the servers to at least ${minimum}, or restart them with --disable-network-policy`;
    const message = "Cannot join the cluster: the server is too old: incompatible down-level server detected";
    return new ClusterConfigError("ERR_SERVER_DOWN_LEVEL", message, { hint });
  }
}
