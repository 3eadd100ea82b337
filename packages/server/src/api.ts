import type { ServerConfig } from "@k3s/config";
import { kubeApiserver, KubernetesEndpoint, kubernetesMinor, type ServingAddresses } from "@k3s/control-plane";
import { ClusterObjects } from "@k3s/controllers";
import { AccessReviewer, diagnosticRoutes } from "@k3s/diagnostics";
import { EtcdApiServer } from "@k3s/etcd-api";
import { atOnce, inSequence, type Component } from "@k3s/lifecycle";
import { writeAdminKubeconfig, type AdminKubeconfigOptions } from "@k3s/pki";
import type { Route } from "@k3s/supervisor-api";
import { agreement } from "./agreement.ts";
import { AgentService } from "./agent-service.ts";
import { ApiHealth } from "./api-health.ts";
import { commitHints } from "./commit-hints.ts";
import { controlPlaneOptions } from "./control-plane-part.ts";
import { EarlierServers } from "./earlier-servers.ts";
import type { ServerParts } from "./server-parts.ts";
import { serverRoutes } from "./server-routes.ts";
import { MasterLeases, onlyServer } from "./serving-addresses.ts";
import { ServingSecretKeeper } from "./serving-secret.ts";
import { Supervisor } from "./supervisor.ts";
import { TokenRotation } from "./token-rotation.ts";

/** Where kubectl of k3s looks first; a link when the kubeconfig is written elsewhere. */
const ADMIN_KUBECONFIG = "/etc/rancher/k3s/k3s.yaml";

/** The datastore's socket, kube-apiserver on it, the one port in front of that, and what has to be in the cluster before anybody uses it. */
export function api(parts: ServerParts): Component {
  const { config, host, set, env, records, clients } = parts;
  const apiserver = kubeApiserver(controlPlaneOptions(parts), { set, env, records, log: host.log });
  const log = (component: string) => host.log.child({ component });
  const health = new ApiHealth({
    check: (signal) => apiserver.checkHealth(signal),
    onDead: () => agents.endTunnels(),
    log: log("api-health"),
  });
  const agents = new AgentService(parts, health);
  const { tokens } = agents;
  const hints = commitHints({ config, datastore: parts.datastore, log: log("commit-hints") });
  const paths = new Map([...agents.routes.paths, ...operatorRoutes(parts), ...diagnostics(parts), ...hints.routes]);
  const routes = { ...agents.routes, paths };
  const supervisor = new Supervisor({ config, routes, tokens, log: host.log });
  const client = () => clients.get("supervisor");
  return inSequence("api", [
    atOnce("api-programs", [
      inSequence("apiserver-on-store", [...etcdApi(parts), agreement(parts), apiserver]),
      supervisor,
    ]),
    clients,
    opened(supervisor),
    new ClusterObjects({
      client,
      manifestsDir: host.manifestsDir,
      kubernetesMinor: kubernetesMinor(set.versions.kubernetes.text),
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      log: log("cluster-objects"),
    }),
    new KubernetesEndpoint({
      client,
      servers: servingAddresses(parts, health),
      port: config.advertisePort,
      log: log("kubernetes-endpoint"),
    }),
    new EarlierServers(parts),
    ...hints.components,
    new ServingSecretKeeper({ client, certificate: () => supervisor.certificate, log: log("serving-secret") }),
    adminAccess(config),
    health,
    agents.component,
  ]);
}

/** For other servers and for whoever administers this one. */
function operatorRoutes({ config, host, datastore }: ServerParts): ReadonlyMap<string, Route> {
  const log = host.log.child({ component: "server-routes" });
  const rotation = new TokenRotation({
    serverDir: config.paths.serverDir,
    hasAgentToken: config.agentToken !== undefined,
    store: datastore.bootstrapStore,
    log,
  });
  return serverRoutes({ changeToken: (newToken) => rotation.change(newToken), log });
}

/** What this process tells of itself, if it is told to. */
function diagnostics({ config, datastore, clients }: ServerParts): ReadonlyMap<string, Route> {
  return diagnosticRoutes({
    metrics: config.supervisorMetrics ? datastore.metrics : undefined,
    hasProfiles: config.enablePprof,
    access: new AccessReviewer(() => clients.get("supervisor")),
  });
}

function servingAddresses({ config, datastore, host }: ServerParts, health: ApiHealth): ServingAddresses {
  const address = config.advertiseAddress;
  if (!datastore.isShared) return onlyServer(address);
  const log = host.log.child({ component: "master-leases" });
  return new MasterLeases({ etcd: datastore.etcdAccess, address, isDead: () => health.isDead, log });
}

/** None where kube-apiserver talks to an etcd of others. */
function etcdApi({ config, host, datastore: { store, metrics } }: ServerParts): readonly Component[] {
  if (store === undefined) return [];
  const api = new EtcdApiServer({
    store,
    socketPath: config.paths.datastoreSocket,
    memberName: config.nodeName,
    transport: config.datastoreTransport,
    metrics: () => metrics.text(),
    log: host.log.child({ component: "etcd-api" }),
  });
  return [api];
}

function opened(supervisor: Supervisor): Component {
  const set = (isReady: boolean) => {
    supervisor.setApiserverReady(isReady);
    return Promise.resolve();
  };
  return { name: "api-open", start: () => set(true), stop: () => set(false) };
}

/** The operator's way in. */
function adminAccess(config: ServerConfig): Component {
  return {
    name: "admin-access",
    start: () => writeAdminKubeconfig(adminKubeconfig(config)),
    stop: () => Promise.resolve(),
  };
}

function adminKubeconfig(config: ServerConfig): AdminKubeconfigOptions {
  const host = config.bindAddress ?? config.loopbackAddress;
  return {
    serverDir: config.paths.serverDir,
    server: `https://${host.includes(":") ? `[${host}]` : host}:${config.httpsListenPort}`,
    path: config.writeKubeconfig,
    wellKnownPath: ADMIN_KUBECONFIG,
    name: config.writeKubeconfigName,
    mode: config.writeKubeconfigMode,
    ...(config.writeKubeconfigGroup === undefined ? {} : { group: String(config.writeKubeconfigGroup) }),
  };
}
