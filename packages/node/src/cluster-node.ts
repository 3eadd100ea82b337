import { hostname } from "node:os";
import { nodeArgumentAnnotations, NodeMetadata } from "@k3s/controllers";
import type { KubeClient } from "@k3s/kube-client";
import { assembled, atOnce, inSequence, type Component } from "@k3s/lifecycle";
import { backendOf, layOutNetworkFiles, PodNetwork, SUBNET_FILE, type Backend } from "@k3s/network";
import { containerd, ImageImport, kubelet, kubeProxy, type NodeRuntimeOptions } from "@k3s/node-runtime";
import { agentPaths } from "@k3s/pki";
import { ApiClients } from "./api-clients.ts";
import { Milestone } from "./milestone.ts";
import { nodeAnnotations } from "./node-annotations.ts";
import { nodeLabels } from "./node-labels.ts";
import { nodeOptions } from "./node-options.ts";
import type { NodeParts } from "./node-parts.ts";
import { prepareMachine } from "./prepare-machine.ts";

const KUBELET = "kubelet";
const CONTROLLER = "k3s-controller";

/** A node on this machine, in two components: the programs, which need no API in order to start, and the membership, which does. */
export class ClusterNode {
  readonly #parts: NodeParts;
  readonly #kubeletReady = new Milestone("kubelet-ready");
  #options: Promise<NodeRuntimeOptions> | undefined;

  constructor(parts: NodeParts) {
    this.#parts = parts;
  }

  /**
   * containerd, the images that lie ready for it, and the kubelet. None of them needs the API in order to start: the
   * kubelet spends its first seconds looking at the machine, and then tries to register until somebody answers.
   */
  get runtime(): Component {
    const { cluster, identity } = this.#parts;
    const backend = backendOf(cluster.flannelBackend);
    return assembled("node-runtime", async () => {
      const options = await this.#prepared();
      return [
        identity,
        ...(backend === undefined ? [] : [networkLayout(this.#parts, backend)]),
        containerd(options),
        new ImageImport(options), // before any pod can look for one of them
        kubelet(options),
        this.#kubeletReady.reached,
      ];
    });
  }

  /** What makes the machine a member of its cluster. */
  get membership(): Component {
    return inSequence("node-membership", [
      this.#kubeletReady.awaited,
      assembled("node-network", async () => this.#members(await this.#prepared())),
    ]);
  }

  #members(options: NodeRuntimeOptions): readonly Component[] {
    const { config, cluster, apiServer } = this.#parts;
    const { clientKubelet, clientK3sController } = agentPaths(config.paths.agentDir);
    const identities = [
      { name: KUBELET, pair: clientKubelet },
      { name: CONTROLLER, pair: clientK3sController },
    ];
    const clients = new ApiClients({ ...apiServer, identities });
    const client = () => clients.get(KUBELET);
    const backend = backendOf(cluster.flannelBackend);
    return [
      clients,
      registration(this.#parts, client),
      atOnce("pod-traffic", [
        // It looks its own Node up to learn its address, and settles for the loopback address when there is none.
        ...(cluster.disableKubeProxy ? [] : [kubeProxy(options)]),
        ...(backend === undefined ? [] : [podNetwork(this.#parts, backend, clients)]),
      ]),
    ];
  }

  /** Asks the machine once, whichever component comes first. */
  #prepared(): Promise<NodeRuntimeOptions> {
    this.#options ??= prepareMachine(this.#parts).then((settings) => nodeOptions(this.#parts, settings));
    return this.#options;
  }
}

function networkLayout({ config, cluster, host, set }: NodeParts, backend: Backend): Component {
  const options = {
    backend,
    clusterCidrs: cluster.clusterCidr,
    confDir: config.paths.cniConfigDir,
    netConfFile: config.paths.flannelConfigFile,
    pluginDir: set.cniBinDir,
    executable: host.executable,
  };
  return { name: "network-layout", start: () => layOutNetworkFiles(options), stop: () => Promise.resolve() };
}

function registration({ config, cluster, host }: NodeParts, client: () => KubeClient): Component {
  const { annotations, unwantedAnnotations } = nodeAnnotations({ config, cluster }, hostname());
  const env = Object.fromEntries(
    Object.entries(host.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  return new NodeMetadata({
    name: "node-registration",
    client,
    nodeName: config.nodeName,
    ...nodeLabels({ config, cluster }),
    annotations: { ...annotations, ...nodeArgumentAnnotations(host.args, env) },
    unwantedAnnotations,
    log: host.log.child({ component: "node-registration" }),
  });
}

function podNetwork({ config, cluster, env, host }: NodeParts, backend: Backend, clients: ApiClients): Component {
  return new PodNetwork({
    client: () => clients.get(KUBELET),
    controller: () => clients.get(CONTROLLER),
    nodeName: config.nodeName,
    backend,
    clusterCidrs: cluster.clusterCidr,
    nodeIps: config.nodeIp,
    externalIps: cluster.flannelExternalIp ? config.nodeExternalIp : [],
    interfaceName: config.flannelIface,
    subnetFile: SUBNET_FILE,
    path: env["PATH"] ?? "",
    log: host.log.child({ component: "pod-network" }),
  });
}
