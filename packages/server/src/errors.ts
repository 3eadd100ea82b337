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
}
