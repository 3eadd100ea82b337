import type { ComponentSet } from "@k3s/components";
import type { ServerConfig } from "@k3s/config";
import { agentPaths, serverTlsPaths } from "@k3s/pki";
import type { RecordsPlace } from "@k3s/process";
import type { ApiClients, ApiClientsOptions } from "./api-clients.ts";
import type { ServerHost } from "./server-host.ts";

/** What every part of a server is made from. */
export interface ServerParts {
  readonly config: ServerConfig;
  readonly host: ServerHost;
  readonly set: ComponentSet;
  /** Environment of the supervised programs. */
  readonly env: Readonly<Record<string, string>>;
  readonly records: RecordsPlace;
  readonly clients: ApiClients;
}

/** The house speaks to kube-apiserver itself, not to its own port: as `supervisor`, and as the node's `kubelet`. */
export function apiClientsOptions(config: ServerConfig): ApiClientsOptions {
  const { serverDir, agentDir } = config.paths;
  const tls = serverTlsPaths(serverDir);
  const address = config.loopbackAddress === "::1" ? "[::1]" : config.loopbackAddress;
  return {
    server: `https://${address}:${config.apiserverPort}`,
    caFile: tls.serverCa.cert,
    identities: [
      { name: "supervisor", pair: tls.clientSupervisor },
      ...(config.disableAgent ? [] : [{ name: "kubelet", pair: agentPaths(agentDir).clientKubelet }]),
    ],
  };
}
