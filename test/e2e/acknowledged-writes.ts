import type { K3sServer } from "@k3s/testkit";

/** Creates ConfigMaps, one after the other, whatever happens to the server, and remembers those that it acknowledged. */
export class AcknowledgedWrites {
  /** Names of the ConfigMaps. */
  readonly names: string[] = [];
  readonly #cluster: K3sServer;
  readonly #done: Promise<void>;
  #isStopped = false;

  constructor(cluster: K3sServer) {
    this.#cluster = cluster;
    this.#done = this.#run();
  }

  /** Resolves when the last write is over. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
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
