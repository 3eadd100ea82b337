import type { ServingAddresses } from "@k3s/control-plane";
import type { Store } from "@k3s/datastore";
import { EtcdClient, type EtcdClientOptions } from "@k3s/etcd-client";
import type { Logger } from "@k3s/log";

export interface MasterLeasesOptions {
  readonly etcd: EtcdClientOptions;
  /** Where this server serves the API. */
  readonly address: string;
  /** Whether the API does not answer at the moment. */
  readonly isDead: () => boolean;
  readonly log: Logger;
}

/** kube-apiserver's own place and times for this (pkg/controlplane/reconcilers/lease.go): servers of k3s see ours, and we theirs. */
const PREFIX = "/registry/masterleases/";
const END = Buffer.from("/registry/masterleases0");
const TTL_SECONDS = 15;
const REFRESH_MS = 10_000;

/** The servers of one datastore that serve the API: each holds a key with a lease there, which goes when the server does. */
export class MasterLeases implements ServingAddresses {
  readonly everyMs = REFRESH_MS;
  readonly #options: MasterLeasesOptions;
  #client: Promise<EtcdClient> | undefined;

  constructor(options: MasterLeasesOptions) {
    this.#options = options;
  }

  /** Renews this server's own lease as well, unless its API is dead: then it rejects, and the others see the lease end. */
  async current(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#options.isDead()) throw new Error("Cannot renew lease of this server: its API does not answer");
    const client = await this.#connected();
    signal.throwIfAborted();
    await this.#hold(client);
    return await servingAddresses(client);
  }

  async leave(): Promise<readonly string[]> {
    try {
      const client = await this.#connected();
      const held = await this.#read(client);
      if (held !== undefined) await client.write({ key: this.#key, modRevision: held.modRevision, value: undefined });
      const others = await servingAddresses(client);
      client.close();
      return others;
    } catch (error) {
      this.#options.log.debug({ error }, "lease of this server is left to end by itself");
      return [];
    }
  }

  /** With a new lease each time, as upstream does: nothing has to be kept alive in between. */
  async #hold(client: EtcdClient): Promise<void> {
    const lease = await client.grant(TTL_SECONDS);
    const modRevision = (await this.#read(client))?.modRevision ?? 0;
    await client.write({ key: this.#key, modRevision, value: this.#value(), lease });
  }

  async #read(client: EtcdClient) {
    return (await client.range({ key: this.#key })).kvs[0];
  }

  get #key(): Buffer {
    return Buffer.from(PREFIX + this.#options.address);
  }

  /** An Endpoints object; kube-apiserver reads JSON as well as protobuf. */
  #value(): Buffer {
    const subsets = [{ addresses: [{ ip: this.#options.address }] }];
    return Buffer.from(`${JSON.stringify({ kind: "Endpoints", apiVersion: "v1", metadata: {}, subsets })}\n`);
  }

  #connected(): Promise<EtcdClient> {
    this.#client ??= EtcdClient.create(this.#options.etcd);
    return this.#client;
  }
}

/** The addresses of all servers that hold a lease, in order. Rejects with EtcdCallError. */
export async function servingAddresses(client: EtcdClient): Promise<readonly string[]> {
  return (await holders(client)).map(({ address }) => address).sort();
}

/** Those that were there before `own` held its lease; all of them while it holds none. Rejects with EtcdCallError. */
export async function earlierAddresses(client: EtcdClient, own: string): Promise<readonly string[]> {
  const all = await holders(client);
  const since = all.find(({ address }) => address === own)?.since ?? Number.POSITIVE_INFINITY;
  return all.filter((holder) => holder.since < since).map(({ address }) => address);
}

/** The same as this server knows them: read from memory, in any order. Rejects with StoreError. */
export async function knownAddresses(store: Store): Promise<readonly string[]> {
  const range = { key: Buffer.from(PREFIX), rangeEnd: END, limit: 0, revision: 0, keysOnly: true, countOnly: false };
  const { kvs } = await store.range({ ...range, serializable: true });
  return kvs.map(({ key }) => addressOf(key));
}

/** Where the supervisor of another server listens: all of a cluster use the same port. */
export function serverUrl(address: string, port: number): string {
  return `https://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** `since`: the revision with which the lease's key came to be; renewing keeps it. */
async function holders(client: EtcdClient): Promise<readonly { readonly address: string; readonly since: number }[]> {
  const { kvs } = await client.range({ key: Buffer.from(PREFIX), rangeEnd: END, keysOnly: true });
  return kvs.map(({ key, createRevision }) => ({
    address: addressOf(key),
    since: createRevision,
  }));
}

function addressOf(key: Buffer): string {
  return key.toString().slice(PREFIX.length);
}

/** The one server of a datastore that nobody shares. */
export function onlyServer(address: string): ServingAddresses {
  return { everyMs: undefined, current: () => Promise.resolve([address]), leave: () => Promise.resolve([]) };
}
