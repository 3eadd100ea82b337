import { sleep } from "@k3s/async";
import type { BootstrapStore } from "@k3s/bootstrap-data";
import type { DatastoreTls } from "@k3s/datastore-endpoint";
import { EtcdCallError, EtcdClient, EtcdClientError } from "@k3s/etcd-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { etcdBootstrapStore } from "./etcd-bootstrap-store.ts";

export interface ExternalEtcdOptions {
  readonly servers: readonly string[];
  readonly tls: DatastoreTls;
  /** Where relative paths of sockets start. */
  readonly folder: string;
  readonly log: Logger;
}

/** Between two looks for an etcd that does not answer yet. */
const POLL_MS = 1000;
/** A line in the log for as many looks. */
const LOOKS_PER_LINE = 15;

/** An etcd that others run. kube-apiserver is its client itself; what we keep there goes through here. Usable between start and stop. */
export class ExternalEtcd implements Component {
  readonly name = "external-etcd";
  readonly #options: ExternalEtcdOptions;
  #client: EtcdClient | undefined;

  constructor(options: ExternalEtcdOptions) {
    this.#options = options;
  }

  /** Waits for as long as the etcd needs to come. */
  async start({ signal }: Pick<StartContext, "signal">): Promise<void> {
    const { servers, tls, folder, log } = this.#options;
    const client = await EtcdClient.create({ servers, tls, folder });
    this.#client = client;
    for (let look = 0; ; look++) {
      signal.throwIfAborted();
      try {
        const { version } = await client.status();
        log.info({ servers, version }, "the external etcd answers");
        return;
      } catch (error) {
        if (!(error instanceof EtcdCallError)) throw error;
        if (look % LOOKS_PER_LINE === 0)
          log.warn({ error: EtcdClientError.unreachable(servers, error) }, "waiting for the external etcd");
      }
      await sleep(POLL_MS, signal);
    }
  }

  stop(): Promise<void> {
    this.#client?.close();
    this.#client = undefined;
    return Promise.resolve();
  }

  get bootstrapStore(): BootstrapStore {
    if (this.#client === undefined) throw new Error("Cannot use the external etcd: it is not connected");
    return etcdBootstrapStore(this.#client);
  }
}
