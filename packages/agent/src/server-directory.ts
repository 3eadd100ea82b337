import { repeat, sleep } from "@k3s/async";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Health, LoadBalancer } from "@k3s/loadbalancer";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { CONNECT_PATH, TunnelClient, type TunnelClientOptions, type TunnelStatus } from "@k3s/tunnel";

export interface ServerDirectoryOptions {
  readonly balancer: LoadBalancer;
  /** As `system:k3s-controller`, through the balancer. */
  readonly client: () => KubeClient;
  /** Addresses as a server tells them, `host:port` each; empty while it does not know. */
  readonly ask: (signal: AbortSignal) => Promise<readonly string[]>;
  /** What servers may reach on this node. */
  readonly rules: TunnelClientOptions["rules"];
  /** What the node shows when it opens a tunnel: its certificate, and the CA it trusts. */
  readonly tls: () => NonNullable<ReturnType<TunnelClientOptions["endpoint"]>["tls"]>;
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
 * The servers this node knows: a tunnel to each, whose pings tell the balancer how that server is, and the list itself kept
 * up to date, first by asking a server, then by watching the service `default/kubernetes`.
 */
export class ServerDirectory implements Component {
  readonly name = "server-directory";
  readonly #options: ServerDirectoryOptions;
  readonly #tunnels = new Map<string, TunnelClient>();
  readonly #stopping = new AbortController();
  #pending: AbortController | undefined;
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: ServerDirectoryOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    const { balancer, log } = this.#options;
    const known = balancer.servers().map(({ address }) => address);
    this.#reconcile(known);
    log.info({ servers: known.join() }, "opening tunnels");
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
    const { client, log } = this.#options;
    const first = new AbortController();
    const asking = AbortSignal.any([signal, first.signal]);
    const ask = async () => {
      const addresses = await this.#options.ask(asking).catch(() => []);
      if (addresses.length === 0) return;
      first.abort();
      await this.#apply(addresses);
    };
    await ask();
    await repeat(ASK_MS, ask, asking);
    const onObject = (endpoints: Endpoints) => {
      this.#changed(addressesOf(endpoints));
      return Promise.resolve();
    };
    await follow<Endpoints>(client(), { path: KUBERNETES, onObject, log }, signal);
  }

  /** Applies the newest list once it has been quiet for a while. */
  #changed(addresses: readonly string[]): void {
    this.#pending?.abort();
    const pending = new AbortController();
    this.#pending = pending;
    if (addresses.length === 0) return;
    const applied = sleep(QUIET_MS, pending.signal).then(
      () => this.#apply(addresses),
      () => undefined, // a newer list came
    );
    void applied;
  }

  async #apply(addresses: readonly string[]): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#reconcile(addresses);
    await this.#options.balancer.update(addresses);
  }

  /** A tunnel to each of the addresses, and to nobody else. */
  #reconcile(addresses: readonly string[]): void {
    const { balancer } = this.#options;
    for (const [address, tunnel] of this.#tunnels) {
      if (addresses.includes(address)) continue;
      this.#tunnels.delete(address);
      balancer.setHealthCheck(address, undefined);
      void tunnel.stop();
    }
    for (const address of addresses) if (!this.#tunnels.has(address)) this.#open(address);
  }

  #open(address: string): void {
    const { balancer, rules, tls, log } = this.#options;
    const tunnel = new TunnelClient({
      endpoint: () => ({ url: `wss://${address}${CONNECT_PATH}`, tls: tls() }),
      rules,
      log: log.child({ server: address }),
    });
    this.#tunnels.set(address, tunnel);
    balancer.setHealthCheck(address, () => healthOf(tunnel.status.get()));
    void this.#tell(address, tunnel);
  }

  /** Passes each change of a tunnel on at once, until it is stopped. Never rejects. */
  async #tell(address: string, tunnel: TunnelClient): Promise<void> {
    let known = tunnel.status.get();
    while (known.state !== "stopped") {
      known = await tunnel.status.until((status) => status !== known, this.#stopping.signal).catch(() => known);
      if (this.#stopping.signal.aborted) return;
      this.#options.balancer.healthChanged(address);
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
