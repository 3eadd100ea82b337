import { ClusterClient, ClusterError, trustCluster } from "@k3s/cluster-client";
import type { Logger } from "@k3s/log";
import { normalizeToken, readServerToken } from "@k3s/token";
import { TokenCommandError } from "../errors.ts";

export interface RotateOptions {
  readonly serverDir: string;
  /** `https://host:port` of a server. */
  readonly server: string;
  /** The token as it is; undefined: that of the server on this machine. */
  readonly token: string | undefined;
  /** Empty: the server makes one up. */
  readonly newToken: string;
  readonly log: Logger;
  /** Gets whole lines. */
  readonly warn: (text: string) => void;
  readonly signal: AbortSignal;
}

const PATH = "/v1-k3s/token";

/** Has a server change the token of its cluster, and resolves with what is to be said then. Rejects with NodeError. */
export async function rotateToken(options: RotateOptions): Promise<string> {
  const { serverDir, server, newToken, log, warn, signal } = options;
  if (newToken !== "") normalizeToken(newToken); // a mistake is told before anybody is asked
  const token = await readServerToken(serverDir, options.token);
  if (token === undefined) throw TokenCommandError.noToken(serverDir);
  const isLocal = options.token === undefined;
  warn("WARNING: Keep a record of the old token: to restore a snapshot you need the token it was made with\n");
  try {
    const trust = await trustCluster({ server, token, user: "server", log, signal });
    await new ClusterClient({ trust, log }).put(PATH, { newToken }, signal);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    if (error.code === "ERR_TOKEN_REFUSED") throw TokenCommandError.refused(server, isLocal);
    if (error.code === "ERR_SERVER_FAILED") throw TokenCommandError.notRotated(error);
    throw error;
  }
  const where = newToken === "" ? " (the new token is in server/token below the data dir of that server)" : "";
  return `Token rotated, restart k3s nodes with new token${where}\n`;
}
