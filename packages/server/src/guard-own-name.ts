import type { NodePasswords } from "@k3s/agent-endpoints";
import type { ServerConfig } from "@k3s/config";
import type { KubeClient } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import { ensureNodePassword } from "@k3s/token";
import { ServerError } from "./errors.ts";

interface OwnName {
  readonly config: Pick<ServerConfig, "nodeName"> & {
    readonly paths: Pick<ServerConfig["paths"], "nodePasswordFile">;
  };
  /** Whether other servers use the same datastore. */
  readonly isShared: boolean;
  readonly passwords: NodePasswords;
  readonly client: () => KubeClient;
  readonly log: Logger;
}

/**
 * Nobody else shall join under the name of the node on this machine. Rejects with ServerError when somebody has. The only
 * server goes on all the same, with a warning: who else would serve the API that mends it?
 */
export async function guardOwnName({ config, isShared, ...parts }: OwnName, signal: AbortSignal): Promise<void> {
  const { nodeName: name, paths } = config;
  const password = await ensureNodePassword({ path: paths.nodePasswordFile });
  const verdict = await parts.passwords.verify(parts.client(), { name, password }, signal);
  if (verdict !== "wrong") return;
  const error = ServerError.nodePassword({ node: name, file: paths.nodePasswordFile });
  if (isShared) throw error;
  parts.log.warn(
    { node: name, reason: error.message, hint: error.hint },
    "this node's name may be that of another machine",
  );
}
