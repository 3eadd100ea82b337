import type { ClusterConfig } from "@k3s/cluster-config";
import type { AgentConfig } from "@k3s/config";
import { assembled, type Component } from "@k3s/lifecycle";
import { MetricsRegistry, processMetrics } from "@k3s/metrics";
import {
  ApiClients,
  childEnvironment,
  ClusterNode,
  leftovers,
  recordsPlace,
  startMemory,
  unpackPrograms,
  type ClusterNetwork,
  type NodeHost,
} from "@k3s/node";
import { agentPaths } from "@k3s/pki";
import { ZombieReaper } from "@k3s/process";
import { DiagnosticsPort } from "./diagnostics-port.ts";
import { Member } from "./member.ts";

/** An agent as an ordered list. It is up once its node is a member of the cluster and pods can have addresses. */
export function agentComponents(config: AgentConfig, host: NodeHost): readonly Component[] {
  const { log } = host;
  const reaper = process.pid === 1 ? [new ZombieReaper(log)] : [];
  const metrics = new MetricsRegistry();
  processMetrics(metrics);
  const member = new Member(config, log, { metrics, env: host.env });
  return [
    ...reaper,
    leftovers(config, host),
    ...member.components,
    startMemory(log),
    assembled("agent", (signal) => memberWithNode(member, { config, host, metrics, signal }), "join"),
  ];
}

interface AgentParts {
  readonly config: AgentConfig;
  readonly host: NodeHost;
  readonly metrics: MetricsRegistry;
  readonly signal: AbortSignal;
}

async function memberWithNode(member: Member, parts: AgentParts): Promise<readonly Component[]> {
  const { host, signal } = parts;
  const unpacked = unpackPrograms(parts.config.dataDir, host, signal);
  const [set, joined] = await Promise.all([unpacked, member.join(signal)]);
  const { config } = joined;
  const cluster = networkOf(joined.cluster);
  const env = childEnvironment({ config, cluster, set, inherited: host.env });
  const apiServer = { server: member.server, caFile: agentPaths(config.paths.agentDir).serverCa };
  const identity: Component = { name: "identity", start: () => Promise.resolve(), stop: () => Promise.resolve() };
  const records = await recordsPlace(config);
  const node = new ClusterNode({ config, cluster, host, set, env, records, apiServer, identity });
  return [
    ...joined.components,
    ...diagnostics(parts, { cluster: joined.cluster, ...apiServer }),
    node.runtime,
    node.membership,
  ];
}

/** Nothing unless the cluster wants metrics or this agent was told to show profiles. */
function diagnostics(
  { config, host, metrics }: AgentParts,
  { cluster, server, caFile }: { readonly cluster: ClusterConfig; readonly server: string; readonly caFile: string },
): readonly Component[] {
  const hasMetrics = cluster.supervisorMetrics;
  if (!hasMetrics && !config.enablePprof) return [];
  const files = agentPaths(config.paths.agentDir);
  const clients = new ApiClients({ server, caFile, identities: [{ name: "kubelet", pair: files.clientKubelet }] });
  const port = new DiagnosticsPort({
    port: cluster.supervisorPort,
    bindAddress: config.bindAddress,
    files,
    metrics: hasMetrics ? metrics : undefined,
    hasProfiles: config.enablePprof,
    client: () => clients.get("kubelet"),
    log: host.log.child({ component: "diagnostics" }),
  });
  return [clients, port];
}

function networkOf(cluster: ClusterConfig): ClusterNetwork {
  const { clusterDns, clusterDomain, flannelBackend, flannelExternalIp, egressSelectorMode } = cluster;
  const { disableKubeProxy, disableCloudController, disableServiceLb } = cluster;
  return {
    ...{ clusterDns, clusterDomain, flannelBackend, flannelExternalIp, egressSelectorMode },
    ...{ disableKubeProxy, disableCloudController, disableServiceLb },
    clusterCidr: cluster.clusterCidrs,
    serviceCidr: cluster.serviceCidrs,
  };
}
