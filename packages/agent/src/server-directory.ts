import { repeat, sleep } from "@k3s/async";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Dial, Health, LoadBalancer } from "@k3s/loadbalancer";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import {
  CONNECT_PATH,
  TunnelClient,
  type TunnelClientOptions,
  type TunnelEndpoint,
  type TunnelStatus,
} from "@k3s/tunnel";

export interface ServerDirectoryOptions {
  /** Takes the list and the health of each server; undefined on a server, which talks to itself, and where it is switched off. */
  readonly balancer?: Pick<LoadBalancer, "servers" | "update" | "setHealthCheck" | "healthChanged">;
  /** What is known at the start where there is no balancer to know it. */
  readonly known?: readonly string[];
  /** Whose identity may watch the service `default/kubernetes`. */
  readonly client: () => KubeClient;
  /** Addresses as a server tells them, `host:port` each; empty while it does not know. Undefined: the watch has to do. */
  readonly ask?: (signal: AbortSignal) => Promise<readonly string[]>;
  /** Address of the server on this machine, which needs no tunnel. */
  readonly own?: string;
  /** What servers may reach on this node. */
  readonly rules: TunnelClientOptions["rules"];
  /** What the node shows when it opens a tunnel: its certificate, and the CA it trusts. */
  readonly tls: () => Promise<NonNullable<TunnelEndpoint["tls"]>>;
  /** How servers are reached; by default as they are. */
  readonly dial?: Dial;
  readonly log: Logger;
}

type Endpoints = KubeObject & {
  readonly subsets?: readonly {
    readonly addresses?: readonly { readonly ip: string }[];
    readonly ports?: readonly { readonly port: number }[];
  }[];
};

const ASK_MS = 5_000;
/** Changes come in bursts when a server starts or goes; one that lasts this long is applied (k3s). */
const QUIET_MS = 3_000;
const KUBERNETES = "/api/v1/namespaces/default/endpoints?fieldSelector=metadata.name%3Dkubernetes";

/**
 * The servers this node knows: a tunnel to each but its own, whose pings tell the balancer how that server is, and the list
 * itself kept up to date, first by asking a server, then by watching the service `default/kubernetes`.
 */
export class ServerDirectory implements Component {
  readonly name = "server-directory";
  readonly #options: ServerDirectoryOptions;
  readonly #tunnels = new Map<string, TunnelClient>();
  readonly #stopping = new AbortController();
  #pending: AbortController | undefined;
  /** Counts lists that named servers. */
  #news = 0;
  #isAsking = false;
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: ServerDirectoryOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    const { balancer, known: given = [], log } = this.#options;
    const known = balancer?.servers().map(({ address }) => address) ?? given;
    this.#reconcile(known);
    if (known.length > 0) log.info({ servers: known.join() }, "opening tunnels");
    this.#work = this.#learn();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    this.#pending?.abort();
    await this.#work;
    await Promise.all([...this.#tunnels.values()].map((tunnel) => tunnel.stop()));
  }

  async #learn(): Promise<void> {
    const { signal } = this.#stopping;
    const { client, ask, log } = this.#options;
    if (ask !== undefined) await this.#askFirst(ask);
    if (signal.aborted) return;
    const onObject = (endpoints: Endpoints) => {
      this.#changed(addressesOf(endpoints));
      return Promise.resolve();
    };
    const beforeList = () => this.#askAgain();
    await follow<Endpoints>(client(), { path: KUBERNETES, onObject, beforeList, log }, signal);
  }

  /** A list is due because the watch broke: where the API itself cannot be asked, a server still knows who serves it. */
  #askAgain(): void {
    const { ask } = this.#options;
    if (ask === undefined || this.#isAsking) return;
    this.#isAsking = true;
    const news = this.#news;
    const asked = ask(this.#stopping.signal).then(
      (addresses) => {
        if (this.#news === news) this.#changed(addresses); // otherwise the watch was faster, and is newer
      },
      (error: unknown) => this.#options.log.debug({ error }, "no server tells which servers there are"),
    );
    void asked.finally(() => (this.#isAsking = false));
  }

  /** Resolves once a server has told of at least one. */
  async #askFirst(ask: NonNullable<ServerDirectoryOptions["ask"]>): Promise<void> {
    const first = new AbortController();
    const asking = AbortSignal.any([this.#stopping.signal, first.signal]);
    const attempt = async () => {
      const addresses = await ask(asking).catch(() => []);
      if (addresses.length === 0) return;
      first.abort();
      await this.#apply(addresses);
    };
    await attempt();
    await repeat(ASK_MS, attempt, asking);
  }

  /** Applies the newest list once it has been quiet for a while; one without servers says nothing. */
  #changed(addresses: readonly string[]): void {
    if (addresses.length === 0) return;
    this.#news += 1;
    this.#pending?.abort();
    const pending = new AbortController();
    this.#pending = pending;
    const quietMs = this.#tunnels.size === 0 ? 0 : QUIET_MS;
    const applied = sleep(quietMs, pending.signal).then(
      () => this.#apply(addresses),
      () => undefined, // a newer list came
    );
    void applied;
  }

  async #apply(addresses: readonly string[]): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#reconcile(addresses);
    await this.#options.balancer?.update(addresses);
  }

  /** A tunnel to each of the addresses, and to nobody else. */
  #reconcile(addresses: readonly string[]): void {
    const { balancer, own } = this.#options;
    const others = addresses.filter((address) => address !== own);
    for (const [address, tunnel] of this.#tunnels) {
      if (others.includes(address)) continue;
      this.#tunnels.delete(address);
      balancer?.setHealthCheck(address, undefined);
      void tunnel.stop();
    }
    for (const address of others) if (!this.#tunnels.has(address)) this.#open(address);
  }

  #open(address: string): void {
    const { balancer, rules, tls, dial, log } = this.#options;
    const way = dial === undefined ? {} : { connect: (connected: () => void) => dial(address, connected) };
    const tunnel = new TunnelClient({
      endpoint: async () => ({ url: `wss://${address}${CONNECT_PATH}`, tls: await tls(), ...way }),
      rules,
      log: log.child({ server: address }),
    });
    this.#tunnels.set(address, tunnel);
    if (balancer === undefined) return;
    balancer.setHealthCheck(address, () => healthOf(tunnel.status.get()));
    void this.#tell(balancer, address, tunnel);
  }

  /** Passes each change of a tunnel on at once, until it is stopped. Never rejects. */
  async #tell(
    balancer: NonNullable<ServerDirectoryOptions["balancer"]>,
    address: string,
    tunnel: TunnelClient,
  ): Promise<void> {
    let known = tunnel.status.get();
    while (known.state !== "stopped") {
      known = await tunnel.status.until((status) => status !== known, this.#stopping.signal).catch(() => known);
      if (this.#stopping.signal.aborted) return;
      balancer.healthChanged(address);
    }
  }
}

/** A tunnel that was never open says nothing yet; one that answers its pings is the best proof there is. */
function healthOf({ state, error }: TunnelStatus): Health {
  if (state === "connected") return "ok";
  if (state === "silent" || state === "waiting") return "failed";
  return error === undefined ? "unknown" : "failed";
}

function addressesOf({ subsets = [] }: Endpoints): readonly string[] {
  return subsets.flatMap(({ addresses = [], ports = [] }) =>
    addresses.map(({ ip }) => `${ip.includes(":") ? `[${ip}]` : ip}:${ports[0]?.port ?? 443}`),
  );
}
