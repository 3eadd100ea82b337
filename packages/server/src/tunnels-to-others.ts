import { nodeTunnels } from "@k3s/agent";
import type { Component } from "@k3s/lifecycle";
import type { ServerParts } from "./server-parts.ts";

/** The tunnels of this server's node to the other servers, whose kube-apiservers reach it as they reach any node. None where there can be no others. */
export function tunnelsToOthers({ config, host, clients, datastore }: ServerParts): readonly Component[] {
  const { egressSelectorMode, advertiseAddress: address, advertisePort } = config;
  if (!datastore.isShared || egressSelectorMode === "disabled") return [];
  const own = `${address.includes(":") ? `[${address}]` : address}:${advertisePort}`;
  const tunnels = nodeTunnels({
    config,
    egressSelectorMode,
    clusterCidrs: config.clusterCidr,
    client: () => clients.get("supervisor"),
    servers: { own },
    log: host.log.child({ component: "servers" }),
  });
  return [tunnels];
}
