import { join } from "node:path";
import { aborted } from "@k3s/async";
import { ensureDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { conflist } from "./conflist.ts";

export interface PodNetworkOptions {
  readonly client: () => KubeClient;
  readonly nodeName: string;
  /** Folder the container runtime reads network lists from. */
  readonly confDir: string;
  readonly log: Logger;
}

type Node = KubeObject & { readonly spec: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] } };

const BRIDGE = "cni0";
const FILE = "10-flannel.conflist";

/**
 * Lays a network list without addresses out unless there is one, to be called before the container runtime starts. As with
 * flannel, the runtime then counts the network as configured, and a pod that comes before the node's pod CIDRs is tried again.
 */
export async function layOutPodNetwork(confDir: string): Promise<void> {
  await ensureDirectory(confDir, 0o755);
  const path = join(confDir, FILE);
  if ((await readIfExists(path)) === undefined) {
    await writeFileAtomic(path, conflist({ podCidrs: [], bridge: BRIDGE }), { mode: 0o600 });
  }
}

/** Writes the node's CNI network list as soon as the cluster has given the node its pod CIDRs, and again when they change. */
export class PodNetwork implements Component {
  readonly name = "pod-network";
  readonly #options: PodNetworkOptions;
  readonly #stopping = new AbortController();
  #following: Promise<void> = Promise.resolve();

  constructor(options: PodNetworkOptions) {
    this.#options = options;
  }

  /** Resolves once the network list has the CIDRs: from now on pods get addresses. */
  async start({ signal }: StartContext): Promise<void> {
    const { client, nodeName, log } = this.#options;
    const written = Promise.withResolvers<void>();
    const onObject = async (node: Node) => {
      if (await this.#write(podCidrs(node))) written.resolve();
    };
    const path = `/api/v1/nodes?fieldSelector=${encodeURIComponent(`metadata.name=${nodeName}`)}`;
    this.#following = follow<Node>(client(), { path, onObject, log }, this.#stopping.signal);
    await Promise.race([written.promise, aborted(signal)]);
    signal.throwIfAborted();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }

  async #write(cidrs: readonly string[]): Promise<boolean> {
    if (cidrs.length === 0) return false;
    const { confDir, log } = this.#options;
    const path = join(confDir, FILE);
    const text = conflist({ podCidrs: cidrs, bridge: BRIDGE });
    if ((await readIfExists(path))?.toString() === text) return true;
    await writeFileAtomic(path, text, { mode: 0o600 });
    log.info({ podCidrs: cidrs }, "pod network configured");
    return true;
  }
}

function podCidrs(node: Node): readonly string[] {
  const { podCIDR, podCIDRs } = node.spec;
  return podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
}
