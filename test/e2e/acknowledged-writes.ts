import type { K3sServer } from "@k3s/testkit";

/** Somewhere `kubectl` may be run. */
export type ClusterAccess = Pick<K3sServer, "kubectl">;

/** Creates ConfigMaps, one after the other, whatever happens to the server, and remembers those that it acknowledged. */
export class AcknowledgedWrites implements AsyncDisposable {
  /** Names of the ConfigMaps. */
  readonly names: string[] = [];
  readonly #cluster: ClusterAccess;
  readonly #done: Promise<void>;
  #isStopped = false;

  constructor(cluster: ClusterAccess) {
    this.#cluster = cluster;
    this.#done = this.#run();
  }

  /** Resolves when the last write is over. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(): Promise<void> {
    const prefix = `written-${Date.now()}`;
    for (let i = 0; !this.#isStopped; i++) {
      const name = `${prefix}-${i}`;
      await this.#cluster.kubectl("create", "configmap", name, "--request-timeout=3s").then(
        () => this.names.push(name),
        () => undefined, // not acknowledged: it may be there or not
      );
    }
  }
}
