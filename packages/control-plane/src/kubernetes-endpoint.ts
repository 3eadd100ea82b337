import { isDeepStrictEqual } from "node:util";
import { repeat, retry } from "@k3s/async";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

/** Which servers serve the API, this one among them. */
export interface ServingAddresses {
  /** Addresses in order. Rejects when that cannot be found out now; then nothing is changed. */
  current(signal: AbortSignal): Promise<readonly string[]>;
  /** How often to ask, in milliseconds; undefined: it never changes. */
  readonly everyMs: number | undefined;
  /** This server stops to serve. Resolves with those that go on; empty where there are none, or nobody can tell. Never rejects. */
  leave(): Promise<readonly string[]>;
}

interface KubernetesEndpointOptions {
  readonly client: () => KubeClient;
  /** Where pods reach the API. */
  readonly servers: ServingAddresses;
  /** Port of the supervisor's listener, the same on every server. */
  readonly port: number;
  readonly log: Logger;
}

type Endpoints = KubeObject & { readonly subsets?: unknown };

const COLLECTION = "/api/v1/namespaces/default/endpoints";
const OBJECT = `${COLLECTION}/kubernetes?fieldManager=k3s&force=true`;
/** The others would find out by themselves, only later. */
const LEAVE_LIMIT_MS = 2_000;
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
  #following: Promise<unknown> = Promise.resolve();
  #published: unknown;
  #isTroubled = false;

  constructor(options: KubernetesEndpointOptions) {
    this.#options = options;
  }

  /** Resolves once the addresses are published; keeps them so until stop(). */
  async start({ signal }: StartContext): Promise<void> {
    const { client, servers, log } = this.#options;
    await retry((attempt) => this.#publish(attempt), RETRY, AbortSignal.any([signal, this.#stopping.signal]));
    const onObject = async (found: Endpoints, following: AbortSignal) => {
      if (isDeepStrictEqual(found.subsets, this.#published)) return;
      const before = this.#published;
      await this.#publish(following);
      // Another server may have been first with the same news.
      if (isDeepStrictEqual(this.#published, before))
        log.warn({}, "addresses of the service kubernetes were changed, publishing them again");
    };
    const onDeleted = () => this.#publishSoon();
    const path = `${COLLECTION}?fieldSelector=metadata.name%3Dkubernetes`;
    const following = follow<Endpoints>(client(), { path, onObject, onDeleted, log }, this.#stopping.signal);
    const { everyMs } = servers;
    const refreshing =
      everyMs === undefined ? undefined : repeat(everyMs, () => this.#refresh(), this.#stopping.signal);
    this.#following = Promise.all([following, refreshing]);
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) {
      await this.#following;
      return;
    }
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#following;
    const others = await this.#options.servers.leave();
    if (others.length > 0)
      await this.#apply(this.#subsetsOf(others), AbortSignal.timeout(LEAVE_LIMIT_MS)).catch(ignore);
  }

  #publishSoon(): void {
    void this.#publish(this.#stopping.signal).then(
      () => this.#recovered(),
      (error: unknown) => this.#report(error),
    );
  }

  async #refresh(): Promise<void> {
    try {
      const subsets = await this.#subsets(this.#stopping.signal);
      if (!isDeepStrictEqual(subsets, this.#published)) await this.#publish(this.#stopping.signal);
      this.#recovered();
    } catch (error) {
      this.#report(error);
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    await this.#apply(await this.#subsets(signal), signal);
  }

  async #apply(subsets: unknown, signal: AbortSignal): Promise<void> {
    const body = {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "kubernetes", namespace: "default" },
      subsets,
    };
    await this.#options.client().patch(OBJECT, { type: "apply", body }, signal);
    this.#published = subsets;
  }

  async #subsets(signal: AbortSignal): Promise<unknown> {
    return this.#subsetsOf(await this.#options.servers.current(signal));
  }

  #subsetsOf(addresses: readonly string[]): unknown {
    const ports = [{ name: "https", port: this.#options.port, protocol: "TCP" }];
    return [{ addresses: addresses.map((ip) => ({ ip })), ports }];
  }

  /** Once per trouble: it is met again at each interval for as long as the API is down. */
  #report(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const level = this.#isTroubled ? "debug" : "warn";
    this.#isTroubled = true;
    this.#options.log.log(level, { error }, "addresses of the service kubernetes could not be published");
  }

  #recovered(): void {
    if (!this.#isTroubled) return;
    this.#isTroubled = false;
    this.#options.log.info({}, "addresses of the service kubernetes are published again");
  }
}

function ignore(): void {
  // What was left undone, the others do.
}
