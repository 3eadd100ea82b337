import type { Authority, authorityPlans } from "./authority.ts";
import type { LeafPlan } from "./leaf.ts";
import type { CertificatePair, ServerCredPaths, ServerTlsPaths } from "./paths.ts";

export type Authorities = Record<keyof ReturnType<typeof authorityPlans>, Authority>;

/** What a server's own certificates are made of. */
export interface ServerNames {
  /** Names and addresses this server is reached by, for the certificates of kube-apiserver and etcd. */
  readonly sans: readonly string[];
  readonly clusterDomain: string;
  /** False for servers that keep no data themselves. */
  readonly hasEtcd: boolean;
}

/** A client certificate with the kubeconfig that uses it. */
export interface ClientPlan extends LeafPlan {
  readonly kubeconfig: string;
}

const LOOPBACK = ["localhost", "127.0.0.1", "::1"];
const MASTERS = ["system:masters"];

/** The client certificates signed by the client CA, each with its kubeconfig. */
export function clientPlans(tls: ServerTlsPaths, cred: ServerCredPaths, issuer: Authority): ClientPlan[] {
  const plan = (
    pair: CertificatePair,
    kubeconfig: string,
    subject: Pick<LeafPlan, "commonName" | "organizations">,
  ): ClientPlan => ({ pair, kubeconfig, issuer, ...subject, sans: [], purposes: ["clientAuth"] });
  return [
    plan(tls.clientAdmin, cred.adminKubeconfig, { commonName: "system:admin", organizations: MASTERS }),
    plan(tls.clientSupervisor, cred.supervisorKubeconfig, {
      commonName: "system:k3s-supervisor",
      organizations: MASTERS,
    }),
    plan(tls.clientController, cred.controllerKubeconfig, {
      commonName: "system:kube-controller-manager",
      organizations: [],
    }),
    plan(tls.clientScheduler, cred.schedulerKubeconfig, { commonName: "system:kube-scheduler", organizations: [] }),
    plan(tls.clientApiServer, cred.apiServerKubeconfig, { commonName: "system:apiserver", organizations: MASTERS }),
    plan(tls.clientCloudController, cred.cloudControllerKubeconfig, {
      commonName: "k3s-cloud-controller-manager",
      organizations: [],
    }),
  ];
}

/** The serving certificates, the front-proxy client and the certificates of etcd. */
export function servingPlans(tls: ServerTlsPaths, authorities: Authorities, names: ServerNames): LeafPlan[] {
  const { server, requestHeader, etcdServer, etcdPeer } = authorities;
  const service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  const apiServerSans = [...service, `kubernetes.default.svc.${names.clusterDomain}`, ...names.sans];
  const serving = (pair: CertificatePair, commonName: string, sans: readonly string[]): LeafPlan => {
    return { pair, issuer: server, commonName, organizations: [], sans: unique(sans), purposes: ["serverAuth"] };
  };
  const client = (pair: CertificatePair, issuer: Authority, commonName: string): LeafPlan => {
    return { pair, issuer, commonName, organizations: [], sans: [], purposes: ["clientAuth"] };
  };
  const etcdMember = (pair: CertificatePair, issuer: Authority, commonName: string): LeafPlan => {
    const sans = unique(["kine.sock", ...names.sans]);
    return { pair, issuer, commonName, organizations: [], sans, purposes: ["serverAuth", "clientAuth"] };
  };
  return [
    serving(tls.servingApiServer, "kube-apiserver", apiServerSans),
    serving(tls.servingScheduler, "kube-scheduler", LOOPBACK),
    serving(tls.servingController, "kube-controller-manager", LOOPBACK),
    client(tls.authProxy, requestHeader, "system:auth-proxy"),
    client(tls.etcdClient, etcdServer, "etcd-client"),
    ...(names.hasEtcd ? [etcdMember(tls.etcdServer, etcdServer, "etcd-server")] : []),
    etcdMember(tls.etcdPeer, etcdPeer, "etcd-peer"),
  ];
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
