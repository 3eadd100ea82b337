import { isDeepStrictEqual } from "node:util";
import { retry } from "@k3s/async";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

interface KubernetesEndpointOptions {
  readonly client: () => KubeClient;
  /** Where pods reach the API: address and port of the supervisor's listener. */
  readonly address: string;
  readonly port: number;
  readonly log: Logger;
}

type Endpoints = KubeObject & { readonly subsets?: unknown };

const COLLECTION = "/api/v1/namespaces/default/endpoints";
const OBJECT = `${COLLECTION}/kubernetes?fieldManager=k3s&force=true`;
const RETRY = { delayMinMs: 250, delayMaxMs: 5_000 };

/**
 * Keeps the addresses of the service `default/kubernetes`.
 *
 * kube-apiserver would publish the port it listens on itself, which is bound to the loopback address (k3s patches in a
 * flag for another port). It is told to publish nothing; kube-controller-manager mirrors what we write to slices.
 */
export class KubernetesEndpoint implements Component {
  readonly name = "kubernetes-endpoint";
  readonly #options: KubernetesEndpointOptions;
  readonly #stopping = new AbortController();
  #following: Promise<void> = Promise.resolve();

  constructor(options: KubernetesEndpointOptions) {
    this.#options = options;
  }

  /** Resolves once the addresses are published; keeps them so until stop(). */
  async start({ signal }: StartContext): Promise<void> {
    const { client, log } = this.#options;
    await retry((attempt) => this.#publish(attempt), RETRY, AbortSignal.any([signal, this.#stopping.signal]));
    const onObject = async (found: Endpoints, following: AbortSignal) => {
      if (isDeepStrictEqual(found.subsets, this.#subsets())) return;
      log.warn({}, "addresses of the service kubernetes were changed, publishing them again");
      await this.#publish(following);
    };
    const onDeleted = () => void this.#publish(this.#stopping.signal).catch((error: unknown) => this.#report(error));
    const path = `${COLLECTION}?fieldSelector=metadata.name%3Dkubernetes`;
    this.#following = follow<Endpoints>(client(), { path, onObject, onDeleted, log }, this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#following;
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const body = {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "kubernetes", namespace: "default" },
      subsets: this.#subsets(),
    };
    await this.#options.client().patch(OBJECT, { type: "apply", body }, signal);
  }

  #subsets(): unknown {
    const { address, port } = this.#options;
    return [{ addresses: [{ ip: address }], ports: [{ name: "https", port, protocol: "TCP" }] }];
  }

  #report(error: unknown): void {
    if (!this.#stopping.signal.aborted)
      this.#options.log.warn({ error }, "addresses of the service kubernetes could not be published");
  }
}
