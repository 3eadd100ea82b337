import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

type Endpoints = KubeObject & {
  readonly subsets?: readonly {
    readonly addresses?: readonly { readonly ip: string }[];
    readonly ports?: readonly { readonly port: number }[];
  }[];
};

const DEFAULT_PORT = 443;
const PATH = "/api/v1/namespaces/default/endpoints?fieldSelector=metadata.name%3Dkubernetes";

/** The servers behind the service `default/kubernetes`, kept up to date: what agents are told to connect to. */
export class ApiServerAddresses implements Component {
  readonly name = "api-server-addresses";
  readonly #client: () => KubeClient;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #following: Promise<void> = Promise.resolve();
  #addresses: readonly string[] = [];

  constructor(client: () => KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** `ip:port`, IPv6 in brackets, without duplicates; empty while nothing is known. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  start(): Promise<void> {
    const onObject = (endpoints: Endpoints) => {
      this.#addresses = addressesOf(endpoints);
      return Promise.resolve();
    };
    this.#following = follow<Endpoints>(
      this.#client(),
      { path: PATH, onObject, log: this.#log },
      this.#stopping.signal,
    );
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }
}

function addressesOf({ subsets = [] }: Endpoints): readonly string[] {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    addresses.map(({ ip }) => `${ip.includes(":") ? `[${ip}]` : ip}:${ports[0]?.port ?? DEFAULT_PORT}`),
  );
  return [...new Set(all)];
}
