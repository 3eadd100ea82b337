import { join } from "node:path";
import type { ServerConfig } from "@k3s/config";
import { kubeApiserver, KubernetesEndpoint } from "@k3s/control-plane";
import { ClusterObjects } from "@k3s/controllers";
import type { Store } from "@k3s/datastore";
import { EtcdApiServer } from "@k3s/etcd-api";
import { assembled, type Component } from "@k3s/lifecycle";
import {
  DynamicCertificate,
  serverCredPaths,
  serverTlsPaths,
  writeAdminKubeconfig,
  type AdminKubeconfigOptions,
} from "@k3s/pki";
import { SupervisorListener } from "@k3s/supervisor-api";
import { PasswordAuthenticator, readPasswd } from "@k3s/token";
import { controlPlaneOptions } from "./control-plane-part.ts";
import type { ServerParts } from "./server-parts.ts";

/** Where kubectl of k3s looks first; a link when the kubeconfig is written elsewhere. */
const ADMIN_KUBECONFIG = "/etc/rancher/k3s/k3s.yaml";

/** The datastore's socket, the one port, kube-apiserver behind it, and what has to be in the cluster before anybody uses it. */
export function api(parts: ServerParts, store: () => Store): Component {
  return assembled("api", async () => {
    const { config, host, set, env, records, clients } = parts;
    const certificate = await servingCertificate(parts);
    const listener = await supervisorListener(parts, certificate);
    const client = () => clients.get("supervisor");
    const log = (component: string) => host.log.child({ component });
    return [
      new EtcdApiServer({
        store,
        socketPath: config.paths.datastoreSocket,
        memberName: config.nodeName,
        log: log("etcd-api"),
      }),
      listener,
      renewal(certificate),
      kubeApiserver(controlPlaneOptions(config, set), { set, env, records, log: host.log }),
      clients,
      opened(listener),
      new ClusterObjects({
        client,
        manifests: [join(host.manifestsDir, "rolebindings.yaml")],
        clusterDns: config.clusterDns,
        clusterDomain: config.clusterDomain,
        log: log("cluster-objects"),
      }),
      new KubernetesEndpoint({
        client,
        address: config.advertiseAddress,
        port: config.advertisePort,
        log: log("kubernetes-endpoint"),
      }),
      completed(parts, listener),
    ];
  });
}

function servingCertificate({ config, host }: ServerParts): Promise<DynamicCertificate> {
  const log = host.log.child({ component: "serving-certificate" });
  return DynamicCertificate.open({ serverDir: config.paths.serverDir, configuredNames: config.servingSans, log });
}

function renewal(certificate: DynamicCertificate): Component {
  const stopping = new AbortController();
  let renewing = Promise.resolve();
  return {
    name: "certificate-renewal",
    start: () => {
      renewing = certificate.keepRenewed(stopping.signal);
      return Promise.resolve();
    },
    stop: async () => {
      stopping.abort();
      await renewing;
    },
  };
}

async function supervisorListener(
  { config, host }: ServerParts,
  certificate: DynamicCertificate,
): Promise<SupervisorListener> {
  const { serverDir } = config.paths;
  const tls = serverTlsPaths(serverDir);
  const passwords = await PasswordAuthenticator.create(await readPasswd(serverCredPaths(serverDir).passwd));
  return new SupervisorListener({
    port: config.httpsListenPort,
    ...(config.bindAddress === undefined ? {} : { bindAddress: config.bindAddress }),
    files: {
      serverCa: tls.serverCa.cert,
      clientCa: tls.clientCa.cert,
      proxyCertificate: tls.authProxy.cert,
      proxyKey: tls.authProxy.key,
    },
    certificate,
    passwords,
    apiserver: { host: config.loopbackAddress, port: config.apiserverPort },
    log: host.log.child({ component: "supervisor" }),
  });
}

function opened(listener: SupervisorListener): Component {
  const set = (isReady: boolean) => {
    listener.setApiserverReady(isReady);
    return Promise.resolve();
  };
  return { name: "api-open", start: () => set(true), stop: () => set(false) };
}

/** The operator's way in, and the word to agents that they may go on. */
function completed({ config }: ServerParts, listener: SupervisorListener): Component {
  return {
    name: "admin-access",
    start: async () => {
      await writeAdminKubeconfig(adminKubeconfig(config));
      listener.setCoreReady();
    },
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
