import { join } from "node:path";

/** Where the id of this machine is kept, for node names that are to be unique. */
export const NODE_ID_FILE = "/etc/rancher/node/id";

/** Every place on the machine that belongs to a node (layout of k3s). */
export type NodePaths = Readonly<Record<keyof ReturnType<typeof nodePaths>, string>>;

/** All paths follow from the data dir; those outside of it are fixed. */
export function nodePaths(dataDir: string) {
  const server = join(dataDir, "server");
  const agent = join(dataDir, "agent");
  return Object.freeze({
    dataDir,
    /** Held while a k3s runs on this data dir. */
    lockFile: join(dataDir, "k3s.lock"),
    /** Unpacked programs, and the stable folder of CNI plugins. */
    programsDir: join(dataDir, "data"),
    cniPluginsDir: join(dataDir, "data", "cni"),
    storageDir: join(dataDir, "storage"),
    serverDir: server,
    tokenFile: join(server, "token"),
    nodeTokenFile: join(server, "node-token"),
    agentTokenFile: join(server, "agent-token"),
    credentialsDir: join(server, "cred"),
    tlsDir: join(server, "tls"),
    serverEtcDir: join(server, "etc"),
    databaseDir: join(server, "db"),
    databaseFile: join(server, "db", "state.db"),
    manifestsDir: join(server, "manifests"),
    staticDir: join(server, "static"),
    datastoreSocket: join(server, "kine.sock"),
    agentDir: agent,
    agentEtcDir: join(agent, "etc"),
    kubeletConfigDir: join(agent, "etc", "kubelet.conf.d"),
    containerdConfigFile: join(agent, "etc", "containerd", "config.toml"),
    flannelConfigFile: join(agent, "etc", "flannel", "net-conf.json"),
    cniConfigDir: join(agent, "etc", "cni", "net.d"),
    /** What the servers told of the cluster, for a start without them. */
    clusterConfigFile: join(agent, "etc", "cluster-config.json"),
    resolvConfFile: join(agent, "etc", "resolv.conf"),
    crictlConfigFile: join(agent, "etc", "crictl.yaml"),
    containerdRoot: join(agent, "containerd"),
    containerdLogFile: join(agent, "containerd", "containerd.log"),
    imagesDir: join(agent, "images"),
    podManifestsDir: join(agent, "pod-manifests"),
    runDir: "/run/k3s",
    containerdStateDir: "/run/k3s/containerd",
    containerdSocket: "/run/k3s/containerd/containerd.sock",
    kubeletDir: "/var/lib/kubelet",
    nodePasswordFile: "/etc/rancher/node/password",
  });
}

/** Where k3s keeps its state when nothing else is said. */
export function defaultDataDir(user: { readonly isRoot: boolean; readonly home: string }): string {
  return user.isRoot ? "/var/lib/rancher/k3s" : join(user.home, ".rancher", "k3s");
}
