import type { ServerConfig } from "@k3s/config";
import { assembled, inBackground, type Component } from "@k3s/lifecycle";
import {
  ApiClients,
  childEnvironment,
  ClusterNode,
  leftovers,
  recordsPlace,
  startMemory,
  unpackPrograms,
} from "@k3s/node";
import { ZombieReaper } from "@k3s/process";
import { serverTlsPaths } from "@k3s/pki";
import { api } from "./api.ts";
import { controllers } from "./controllers.ts";
import { clusterNetwork } from "./cluster-network.ts";
import { datastorePart } from "./datastore-part.ts";
import { nodeIdentity } from "./node-identity.ts";
import type { ServerHost } from "./server-host.ts";
import { ServerState } from "./server-state.ts";
import { apiServerAccess, type ServerParts } from "./server-parts.ts";
import { tunnelsToOthers } from "./tunnels-to-others.ts";

/**
 * A server as an ordered list. It is up once the API serves; the programs of the node go on starting after that, so that a
 * node that cannot register keeps neither the service manager nor other nodes waiting.
 */
export function serverComponents(config: ServerConfig, host: ServerHost): readonly Component[] {
  const { log } = host;
  // As process 1 we inherit every orphan of the machine, shims and pods included: somebody has to collect them.
  const reaper = process.pid === 1 ? [new ZombieReaper(log)] : [];
  return [...reaper, leftovers(config, host), assembled("server", (signal) => parts(config, host, signal), "programs")];
}

async function parts(config: ServerConfig, host: ServerHost, signal: AbortSignal): Promise<readonly Component[]> {
  const { log, env: inherited } = host;
  const set = await unpackPrograms(config.dataDir, host, signal);
  const cluster = clusterNetwork(config);
  const env = childEnvironment({ config, cluster, set, inherited });
  const datastore = datastorePart(config, host);
  const access = apiServerAccess(config);
  const pair = serverTlsPaths(config.paths.serverDir).clientSupervisor;
  const clients = new ApiClients({ ...access, identities: [{ name: "supervisor", pair }] });
  const common: ServerParts = { config, host, set, env, records: await recordsPlace(config), clients, datastore };
  const identity = nodeIdentity(config, access.server);
  const node = config.disableAgent ? undefined : new ClusterNode({ ...common, cluster, apiServer: access, identity });
  return [
    datastore.component,
    new ServerState({
      config,
      store: datastore.bootstrapStore,
      isShared: datastore.isShared,
      apiServerUrl: access.server,
      log,
    }),
    // At the same time as the API. containerd stops last of these: the kubelet still ends its probes through it.
    ...(node === undefined ? [] : [inBackground(node.runtime)]),
    api(common),
    inBackground(controllers(common)),
    ...(node === undefined ? [] : [...tunnelsToOthers(common), inBackground(node.membership)]),
    startMemory(log),
  ];
}
