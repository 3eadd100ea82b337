import { WaitingLog } from "@k3s/agent";
import { deadline, repeat } from "@k3s/async";
import { ClusterError } from "@k3s/cluster-client";
import { describeError } from "@k3s/errors";
import { EtcdClient } from "@k3s/etcd-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { AgreementParts } from "./agreement.ts";
import { compareSettings } from "./compare-settings.ts";
import { ServerError } from "./errors.ts";
import { earlierAddresses, serverUrl } from "./serving-addresses.ts";

/** How long the start of a server waits for those that were there before it. */
const PATIENCE_MS = 5_000;
const AGAIN_MS = 5_000;

/**
 * Once this server is known as one: compares its settings with those of every server that became known before it. Of two
 * that start together, and so do not find each other at first, the later one ends. Who does not answer is asked again.
 */
export class EarlierServers implements Component {
  readonly name = "earlier-servers";
  readonly #parts: AgreementParts;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #agreed = new Set<string>();
  readonly #refused = new Map<string, WaitingLog>();
  #asking: Promise<void> = Promise.resolve();

  constructor(parts: AgreementParts) {
    this.#parts = parts;
    this.#log = parts.host.log.child({ component: this.name });
  }

  /** To be started once this server holds its lease. Rejects with ServerError when settings differ. */
  async start({ signal, lost }: StartContext): Promise<void> {
    if (!this.#parts.datastore.isShared) return;
    using patience = deadline(PATIENCE_MS, "comparing settings", signal);
    if (await this.#haveAllAgreed(patience)) return;
    signal.throwIfAborted();
    this.#asking = this.#goOn(lost);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#asking;
  }

  /** Never rejects. */
  async #goOn(lost: StartContext["lost"]): Promise<void> {
    const finished = new AbortController();
    const ended = AbortSignal.any([this.#stopping.signal, finished.signal]);
    const again = async () => {
      if (await this.#haveAllAgreed(ended)) finished.abort();
    };
    await repeat(AGAIN_MS, again, ended).catch((error: unknown) => {
      if (!ended.aborted) lost(error instanceof Error ? error : new Error(String(error)));
    });
  }

  /** Rejects with ServerError alone. */
  async #haveAllAgreed(signal: AbortSignal): Promise<boolean> {
    const earlier = await this.#earlier();
    if (earlier === undefined) return false;
    const open = earlier.filter((address) => !this.#agreed.has(address));
    const outcomes = await Promise.all(open.map((address) => this.#hasAgreed(address, signal)));
    return !outcomes.includes(false);
  }

  async #hasAgreed(address: string, signal: AbortSignal): Promise<boolean> {
    const { config } = this.#parts;
    const server = serverUrl(address, config.httpsListenPort);
    try {
      await compareSettings({ config, server, log: this.#log }, signal);
      this.#agreed.add(address);
      return true;
    } catch (error) {
      if (error instanceof ServerError) throw error;
      this.#tell(server, error);
      return false;
    }
  }

  /** One that does not answer may be on its way; one that refuses our password goes on refusing it until somebody acts. */
  #tell(server: string, error: unknown): void {
    if (!(error instanceof ClusterError && error.isFinal)) {
      this.#log.debug({ server, reason: describeError(error) }, "settings could not be compared yet");
      return;
    }
    const waits = this.#refused.get(server) ?? new WaitingLog(this.#log);
    this.#refused.set(server, waits);
    waits.failed("settings cannot be compared with an earlier server", ServerError.otherToken(server, error));
  }

  /** Undefined when that cannot be found out now. */
  async #earlier(): Promise<readonly string[] | undefined> {
    const { config, datastore } = this.#parts;
    const client = await EtcdClient.create(datastore.etcdAccess);
    try {
      return await earlierAddresses(client, config.advertiseAddress);
    } catch (error) {
      this.#log.debug({ reason: describeError(error) }, "other servers could not be looked up");
      return undefined;
    } finally {
      client.close();
    }
  }
}
