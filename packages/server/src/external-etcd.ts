import { repeat, sleep } from "@k3s/async";
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
  /** Between two looks whether it still answers, in ms; default 2000. */
  readonly watchMs?: number;
}

/** Between two looks for an etcd that does not answer yet. */
const POLL_MS = 1000;
/** A line in the log for as many looks. */
const LOOKS_PER_LINE = 15;
/** Between two looks at an etcd that has answered. */
const WATCH_MS = 2000;

/** An etcd that others run. kube-apiserver is its client itself; what we keep there goes through here. Usable between start and stop. */
export class ExternalEtcd implements Component {
  readonly name = "external-etcd";
  readonly #options: ExternalEtcdOptions;
  #client: EtcdClient | undefined;
  readonly #stopping = new AbortController();
  #isAway = false;

  constructor(options: ExternalEtcdOptions) {
    this.#options = options;
  }

  /** Waits for as long as the etcd needs to come. */
  async start({ signal }: Pick<StartContext, "signal">): Promise<void> {
    const options = this.#options;
    const { servers, tls, folder, log } = options;
    const client = await EtcdClient.create({ servers, tls, folder });
    this.#client = client;
    for (let look = 0; ; look++) {
      signal.throwIfAborted();
      try {
        const { version } = await client.status();
        log.info({ servers, version }, "the external etcd answers");
        void repeat(options.watchMs ?? WATCH_MS, () => this.#look(client), this.#stopping.signal);
        return;
      } catch (error) {
        if (!(error instanceof EtcdCallError)) throw error;
        const reason = EtcdClientError.away(servers, error);
        if (look % LOOKS_PER_LINE === 0)
          log.warn({ error: reason, hint: reason.hint }, "waiting for the external etcd");
      }
      await sleep(POLL_MS, signal);
    }
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    this.#client?.close();
    this.#client = undefined;
    return Promise.resolve();
  }

  /** kube-apiserver meets the trouble itself, but names neither the cause nor the cure. */
  async #look(client: EtcdClient): Promise<void> {
    const { servers, log } = this.#options;
    try {
      await client.status();
      if (this.#isAway) log.info({ servers }, "the external etcd answers again");
      this.#isAway = false;
    } catch (cause) {
      if (!(cause instanceof EtcdCallError)) throw cause;
      const error = EtcdClientError.away(servers, cause);
      if (!this.#isAway && !this.#stopping.signal.aborted)
        log.warn({ error, hint: error.hint }, "the external etcd does not answer");
      this.#isAway = true;
    }
  }

  get bootstrapStore(): BootstrapStore {
    if (this.#client === undefined) throw new Error("Cannot use the external etcd: it is not connected");
    return etcdBootstrapStore(this.#client);
  }
}
