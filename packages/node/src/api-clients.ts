import { repeat } from "@k3s/async";
import { RenewableClient, type KubeClient } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { CertificatePair } from "@k3s/pki";

interface Identity {
  /** Stands in the user agent, and so in the API server's audit log. */
  readonly name: string;
  readonly pair: CertificatePair;
}

/** Where kube-apiserver is, and the identities that have clients of their own. */
export interface ApiClientsOptions {
  readonly server: string;
  readonly caFile: string;
  readonly identities: readonly Identity[];
}

const REFRESH_MS = 30_000;

/** The house's own clients of kube-apiserver, one for each identity, with the certificates that are on disk; usable between start and stop. */
export class ApiClients implements Component {
  readonly name = "api-clients";
  readonly #options: ApiClientsOptions;
  readonly #clients = new Map<string, RenewableClient>();
  readonly #stopping = new AbortController();
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: ApiClientsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { server, caFile, identities } = this.#options;
    for (const { name, pair } of identities) {
      const files = { server, caFile, certFile: pair.cert, keyFile: pair.key, userAgent: `k3s-${name}` };
      this.#clients.set(name, await RenewableClient.load(files));
    }
    this.#refreshing = repeat(REFRESH_MS, () => this.refresh(), this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#refreshing;
    for (const { client } of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  /** Takes renewed certificates; done by itself now and then. Never rejects: what is not whole yet is read again. */
  async refresh(): Promise<void> {
    await Promise.allSettled(Array.from(this.#clients.values(), (client) => client.refresh()));
  }

  get(name: string): KubeClient {
    const found = this.#clients.get(name);
    if (found === undefined) throw new Error(`Cannot use API client "${name}": it is not there before start`);
    return found.client;
  }
}
