import { retry } from "@k3s/async";
import { applyManifests, ApiError, isConflict, type KubeClient } from "@k3s/kube-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

export interface ClusterObjectsOptions {
  readonly client: () => KubeClient;
  /** Names of manifests whose objects the components of a node need. */
  readonly manifests: readonly string[];
  readonly readManifest: (name: string) => Promise<string>;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly log: Logger;
}

/** Makes the objects the house itself relies on: RBAC of its users, and the ConfigMap that tells add-ons the cluster's DNS. */
export class ClusterObjects implements Component {
  readonly name = "cluster-objects";
  readonly #options: ClusterObjectsOptions;

  constructor(options: ClusterObjectsOptions) {
    this.#options = options;
  }

  /** Resolves once all objects are there; tries again while the API server is not up to it. */
  async start({ signal }: StartContext): Promise<void> {
    const client = this.#options.client();
    for (const name of this.#options.manifests) {
      const yaml = await this.#options.readManifest(name);
      await this.#insist(name, (inner) => applyManifests(client, yaml, inner), signal);
    }
    await this.#insist("cluster-dns", (inner) => this.#createClusterDns(client, inner), signal);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  async #createClusterDns(client: KubeClient, signal: AbortSignal): Promise<void> {
    const { clusterDns, clusterDomain } = this.#options;
    const configMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "cluster-dns", namespace: "kube-system" },
      data: { clusterDNS: clusterDns.join(","), clusterDomain },
    };
    try {
      await client.create("/api/v1/namespaces/kube-system/configmaps", configMap, signal);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }

  async #insist(object: string, task: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const onRetry = (error: unknown) =>
      this.#options.log.warn({ error, object }, "cannot apply object, will try again");
    await retry(task, { delayMinMs: 200, delayMaxMs: 5_000, isRetryable, onRetry }, signal);
  }
}

/** A broken manifest stays broken; everything else can pass: the server starting, its caches filling, kube-system not made yet. */
function isRetryable(error: unknown): boolean {
  return (
    !(error instanceof ApiError && (error.status === 400 || error.status === 422)) && !(error instanceof TypeError)
  );
}
