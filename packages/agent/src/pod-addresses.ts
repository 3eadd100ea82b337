import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

export interface PodAddressesOptions {
  readonly client: () => KubeClient;
  readonly nodeName: string;
  readonly log: Logger;
}

/** As much of a pod as says where it can be reached. */
type LocatedPod = KubeObject & {
  readonly spec: {
    readonly hostNetwork?: boolean;
    readonly containers: readonly {
      readonly ports?: readonly { readonly containerPort: number; readonly protocol?: string }[];
    }[];
  };
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] };
};

/** Where the pods of this node can be reached: their own addresses on any port, those of the node on the TCP ports that pods of its network declare. */
export class PodAddresses implements Component {
  readonly name = "pod-addresses";
  readonly #options: PodAddressesOptions;
  readonly #stopping = new AbortController();
  #pods = new Map<string, LocatedPod>();
  #following: Promise<void> = Promise.resolve();

  constructor(options: PodAddressesOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    const { client, nodeName, log } = this.#options;
    const path = `/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${nodeName}`)}`;
    const followed = {
      path,
      log,
      onListed: (pods: readonly LocatedPod[]) => (this.#pods = new Map(pods.map((pod) => [keyOf(pod), pod]))),
      onObject: (pod: LocatedPod) => Promise.resolve(void this.#pods.set(keyOf(pod), pod)),
      onDeleted: (pod: LocatedPod) => void this.#pods.delete(keyOf(pod)),
    };
    this.#following = follow<LocatedPod>(client(), followed, this.#stopping.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#following;
  }

  /** Whether a pod of this node is there, as far as is known at this moment. */
  has(ip: string, port: number): boolean {
    return [...this.#pods.values()].some((pod) => isAt(pod, ip, port));
  }
}

function isAt({ spec, status }: LocatedPod, ip: string, port: number): boolean {
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return false;
  if (!(status?.podIPs ?? []).some((own) => own.ip === ip)) return false;
  if (spec.hostNetwork !== true) return true;
  const declared = spec.containers.flatMap(({ ports = [] }) => ports);
  return declared.some(({ containerPort, protocol = "TCP" }) => containerPort === port && protocol === "TCP");
}

function keyOf({ metadata }: LocatedPod): string {
  return metadata.uid ?? `${metadata.namespace ?? ""}/${metadata.name}`;
}
