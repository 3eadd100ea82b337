import { join } from "node:path";

/** A certificate file and the file of its private key. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** What {@link serverTlsPaths} gives. */
export type ServerTlsPaths = ReturnType<typeof serverTlsPaths>;
export type ServerCredPaths = ReturnType<typeof serverCredPaths>;
export type AgentPaths = ReturnType<typeof agentPaths>;

/** Every file below `server/tls`; the names are those of k3s. */
export function serverTlsPaths(serverDir: string) {
  const dir = join(serverDir, "tls");
  const pair = (name: string): CertificatePair => ({ cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) });
  return {
    dir,
    etcdDir: join(dir, "etcd"),
    /** kube-apiserver's --cert-dir. */
    temporaryCertsDir: join(dir, "temporary-certs"),
    clientCa: pair("client-ca"),
    serverCa: pair("server-ca"),
    requestHeaderCa: pair("request-header-ca"),
    etcdServerCa: pair("etcd/server-ca"),
    etcdPeerCa: pair("etcd/peer-ca"),
    /** When the server CA is missing but this exists, it becomes the server CA. */
    tokenCa: pair("token-ca"),
    /** First certificate only: the signer of kube-controller-manager takes no bundle. */
    clientCaNoChain: join(dir, "client-ca.nochain.crt"),
    serverCaNoChain: join(dir, "server-ca.nochain.crt"),
    /** All keys that verify service account tokens, the signing one first. */
    serviceKey: join(dir, "service.key"),
    /** The signing key alone. */
    serviceCurrentKey: join(dir, "service.current.key"),
    clientAdmin: pair("client-admin"),
    clientSupervisor: pair("client-supervisor"),
    clientController: pair("client-controller"),
    clientScheduler: pair("client-scheduler"),
    clientApiServer: pair("client-kube-apiserver"),
    clientCloudController: pair("client-k3s-cloud-controller"),
    /** Of these four the server keeps the keys only, for agents that send no CSR. */
    clientKubeProxy: pair("client-kube-proxy"),
    clientK3sController: pair("client-k3s-controller"),
    clientKubelet: pair("client-kubelet"),
    servingKubelet: pair("serving-kubelet"),
    servingApiServer: pair("serving-kube-apiserver"),
    servingScheduler: pair("kube-scheduler/kube-scheduler"),
    servingController: pair("kube-controller-manager/kube-controller-manager"),
    /** Front-proxy client of the aggregation layer and of the proxy on the supervisor port. */
    authProxy: pair("client-auth-proxy"),
    etcdClient: pair("etcd/client"),
    etcdServer: pair("etcd/server-client"),
    etcdPeer: pair("etcd/peer-server-client"),
    dynamicCert: join(dir, "dynamic-cert.json"),
    /** Its presence at start asks for a new key and certificate of the supervisor port. */
    dynamicCertRegenerate: join(dir, "dynamic-cert-regenerate"),
  };
}

/** Every file below `server/cred`; the names are those of k3s. */
export function serverCredPaths(serverDir: string) {
  const dir = join(serverDir, "cred");
  return {
    dir,
    passwd: join(dir, "passwd"),
    ipsecPsk: join(dir, "ipsec.psk"),
    encryptionConfig: join(dir, "encryption-config.json"),
    encryptionState: join(dir, "encryption-state.json"),
    adminKubeconfig: join(dir, "admin.kubeconfig"),
    supervisorKubeconfig: join(dir, "supervisor.kubeconfig"),
    controllerKubeconfig: join(dir, "controller.kubeconfig"),
    schedulerKubeconfig: join(dir, "scheduler.kubeconfig"),
    apiServerKubeconfig: join(dir, "api-server.kubeconfig"),
    cloudControllerKubeconfig: join(dir, "cloud-controller.kubeconfig"),
  };
}

/** Certificates, keys and kubeconfigs of a node, below `agent`; the names are those of k3s. */
export function agentPaths(agentDir: string) {
  const pair = (name: string): CertificatePair => ({
    cert: join(agentDir, `${name}.crt`),
    key: join(agentDir, `${name}.key`),
  });
  return {
    dir: agentDir,
    clientCa: join(agentDir, "client-ca.crt"),
    serverCa: join(agentDir, "server-ca.crt"),
    servingKubelet: pair("serving-kubelet"),
    clientKubelet: pair("client-kubelet"),
    clientKubeProxy: pair("client-kube-proxy"),
    clientK3sController: pair("client-k3s-controller"),
    kubeletKubeconfig: join(agentDir, "kubelet.kubeconfig"),
    kubeProxyKubeconfig: join(agentDir, "kubeproxy.kubeconfig"),
    k3sControllerKubeconfig: join(agentDir, "k3scontroller.kubeconfig"),
  };
}
