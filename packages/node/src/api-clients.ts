import { kubeClientFromFiles, type KubeClient } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { CertificatePair } from "@k3s/pki";

interface Identity {
  /** Stands in the user agent, and so in the API server's audit log. */
  readonly name: string;
  readonly pair: CertificatePair;
}

export interface ApiClientsOptions {
  readonly server: string;
  readonly caFile: string;
  readonly identities: readonly Identity[];
}

/** The house's own clients of kube-apiserver, one for each identity; usable between start and stop. */
export class ApiClients implements Component {
  readonly name = "api-clients";
  readonly #options: ApiClientsOptions;
  readonly #clients = new Map<string, KubeClient>();

  constructor(options: ApiClientsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { server, caFile, identities } = this.#options;
    for (const { name, pair } of identities) {
      const files = { server, caFile, certFile: pair.cert, keyFile: pair.key, userAgent: `k3s-${name}` };
      this.#clients.set(name, await kubeClientFromFiles(files));
    }
  }

  stop(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    return Promise.resolve();
  }

  get(name: string): KubeClient {
    const client = this.#clients.get(name);
    if (client === undefined) throw new Error(`Cannot use API client "${name}": it is not there before start`);
    return client;
  }
}
