import type { Difference } from "@k3s/cluster-config";
import { NodeError } from "@k3s/errors";

/** A server that must not start beside the others of its cluster. */
export class ServerError extends NodeError {
  override readonly name = "ServerError";

  static mismatch(server: string, differences: readonly Difference[]): ServerError {
    const lines = differences.map(({ flag, own, other }) => `--${flag}: here ${own}, there ${other}`);
    const message = `Cannot start beside server ${server}: critical configuration value mismatch between servers\n  ${lines.join("\n  ")}`;
    const hint = "Give all servers of a cluster the same values for the settings named above";
    return new ServerError("ERR_SERVERS_DIFFER", message, { hint });
  }

  static nodeName(server: string, node: string): ServerError {
    const message = `Cannot start beside server ${server}: the node of that machine is called "${node}" as well`;
    const hint = "Give one of the two another --node-name, or start this server with --disable-agent";
    return new ServerError("ERR_SERVER_NODE_NAME", message, { hint });
  }

  static nodePassword({ node, file }: { readonly node: string; readonly file: string }): ServerError {
    const message =
      `Cannot start node "${node}": another machine joined under this name before: ` +
      `the password in ${file} does not match secret kube-system/${node}.node-password.k3s`;
    const hint =
      "Give one of the two another --node-name. If this machine was set up anew, delete that secret on another server " +
      `or after a start with --disable-agent: k3s kubectl -n kube-system delete secret ${node}.node-password.k3s`;
    return new ServerError("ERR_SERVER_NODE_PASSWORD", message, { hint });
  }

  static otherToken(server: string, cause: unknown): ServerError {
    const message = `Cannot compare settings with server ${server}: it does not accept the token of this server`;
    const hint =
      "After a change of the token every server has to be started again with the new one: " +
      "restart that server with the content of server/token of this one";
    return new ServerError("ERR_SERVER_OTHER_TOKEN", message, { hint, cause });
  }

  static foreign(server: string, cause: unknown): ServerError {
    const message = `Cannot start beside server ${server}: its certificate is not of this cluster's authority`;
    const hint =
      "--server must name a server that uses the same datastore, not one of another cluster or a proxy with a certificate of its own";
    return new ServerError("ERR_SERVER_FOREIGN", message, { hint, cause });
  }
}
