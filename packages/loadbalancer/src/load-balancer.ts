import { once } from "node:events";
import type { Server as TcpServer, Socket } from "node:net";
import { join } from "node:path";
import { repeat } from "@k3s/async";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { dial, type Dial } from "./dial.ts";
import { listen, otherLoopback, portOf, type Loopback } from "./listen.ts";
import type { LoadBalancerMetrics } from "./load-balancer-metrics.ts";
import { formatAddress, formatServerUrl, parseAddress, parseServerUrl, type ServerUrl } from "./server-address.ts";
import { ServerFile } from "./server-file.ts";
import { ServerList, type Server } from "./server-list.ts";
import { Traffic } from "./traffic.ts";

/** What is known of a server at the moment; "unknown" changes nothing. */
export type Health = "unknown" | "ok" | "failed";

/** Asked every second, and whenever {@link LoadBalancer.healthChanged} is called. Must answer at once. */
export type HealthCheck = () => Health;

export interface LoadBalancerOptions {
  /** Base name of the file, label of the metrics: `k3s-agent-load-balancer`. */
  readonly name: string;
  /** Of the default server, as it was configured: `https://10.0.0.1:6443`. */
  readonly serverUrl: string;
  /** Where `<name>.json` lies. */
  readonly folder: string;
  /** The other loopback address gets the same port where it can be had. Port 0 takes a free one. */
  readonly listen: { readonly host: Loopback; readonly port: number };
  readonly log: Logger;
  readonly metrics?: LoadBalancerMetrics;
  /** As in {@link ServerListOptions}: the node's name. */
  readonly homeKey?: string;
  /** How servers are reached; by default as they are. */
  readonly dial?: Dial;
}

const HEALTH_INTERVAL_MS = 1_000;

/** One loopback port in front of all servers: each client gets the best one that answers. */
export class LoadBalancer implements Component {
  readonly name: string;
  readonly #options: LoadBalancerOptions;
  readonly #configured: ServerUrl;
  readonly #servers: ServerList;
  readonly #traffic: Traffic;
  readonly #file: ServerFile;
  readonly #checks = new Map<string, HealthCheck>();
  readonly #stopping = new AbortController();
  readonly #listeners: TcpServer[] = [];
  #addresses: readonly string[] = [];
  #saved: Promise<void> = Promise.resolve();
  #port: number;

  /** Throws LoadBalancerError when `serverUrl` names no server. */
  constructor(options: LoadBalancerOptions) {
    const { name, folder, log, metrics, homeKey } = options;
    this.name = name;
    this.#servers = new ServerList({
      now: () => performance.now(),
      random: Math.random,
      ...(homeKey !== undefined && { homeKey }),
    });
    this.#options = options;
    this.#configured = parseServerUrl(options.serverUrl);
    this.#port = options.listen.port;
    this.#file = new ServerFile(join(folder, `${name}.json`), (error) =>
      log.warn({ error }, "server list cannot be written, a restart will not know it"),
    );
    this.#traffic = new Traffic({
      servers: this.#servers,
      connect: options.dial ?? dial,
      log,
      dialled: (status, durationMs) => metrics?.dialled(name, status, durationMs),
    });
    metrics?.track(name, () => this.servers());
  }

  /** Scheme and address for clients on this machine. Its port is known once start() has resolved. */
  get localUrl(): string {
    const { host } = this.#options.listen;
    return formatServerUrl({ ...this.#configured, address: formatAddress({ host, port: this.#port }) });
  }

  /** All servers, in the order in which they are tried. */
  servers(): readonly Server[] {
    return this.#servers.ordered();
  }

  /** Why no server can be reached, which its clients cannot see; undefined unless the last dial of each has failed. */
  get dialError(): Error | undefined {
    return this.#traffic.dialError;
  }

  /** Brings back the list of the last run when it belongs to the same server URL. */
  async prepare(): Promise<void> {
    const { log } = this.#options;
    const saved = await this.#file.load();
    if (saved === "unreadable") log.warn({ path: this.#file.path }, "server list is not readable, it is written anew");
    void this.setDefault(this.#configured.address);
    const url = this.#defaultUrl();
    if (saved !== undefined && saved !== "unreadable" && isSameUrl(saved.serverUrl, url))
      void this.update(saved.addresses);
    await this.#save();
  }

  /** Rejects with LoadBalancerError when the address cannot be had. */
  async start({ lost }: StartContext): Promise<void> {
    const { listen: wanted, log } = this.#options;
    const accept = (socket: Socket) => this.#traffic.accept(socket);
    const first = await listen(wanted, accept);
    this.#listeners.push(first);
    this.#port = portOf(first);
    const second = await listen({ host: otherLoopback(wanted.host), port: this.#port }, accept).catch(() => undefined);
    if (second !== undefined) this.#listeners.push(second);
    for (const listener of this.#listeners)
      listener.on("error", (error) => log.warn({ error }, "connection cannot be accepted"));
    repeat(HEALTH_INTERVAL_MS, () => this.#checkAll(), this.#stopping.signal).catch(lost);
    log.info({ address: formatAddress({ ...wanted, port: this.#port }), servers: this.#list() }, "listening");
  }

  /** Takes no more clients, ends idle connections, and the others when they become idle or `hurry` aborts. */
  async stop(hurry: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const closed = this.#listeners.splice(0).map(async (listener) => {
      const isClosed = once(listener, "close");
      listener.close();
      await isClosed;
    });
    await this.#traffic.drain(hurry);
    await Promise.all(closed);
    await this.#saved;
  }

  /**
   * Replaces the list of servers, each `host:port`; it takes effect at once. An empty list, which tells of trouble elsewhere, changes nothing.
   * Resolves when the list is on disk, or could not be written.
   */
  update(addresses: readonly string[]): Promise<void> {
    const usable = new Set(
      addresses.map((address) => this.#usable(address)).filter((address) => address !== undefined),
    );
    if (usable.size === 0) return Promise.resolve();
    this.#addresses = [...usable];
    this.#traffic.apply(this.#servers.setAddresses(this.#addresses));
    return this.#save();
  }

  /** Replaces the server that is taken when none of the list is left; resolves as {@link update} does. */
  setDefault(address: string): Promise<void> {
    const usable = this.#usable(address);
    this.#traffic.apply(this.#servers.setDefault(usable));
    return this.#save();
  }

  /** Who watches a server from outside; undefined: nobody. The server need not be in the list yet. */
  setHealthCheck(address: string, check: HealthCheck | undefined): void {
    if (check === undefined) {
      this.#checks.delete(address);
      this.#servers.trust(address);
    } else this.#checks.set(address, check);
  }

  /** Asks the health check of a server now: a failure need not wait for the next round. */
  healthChanged(address: string): void {
    const health = this.#checks.get(address)?.();
    if (health === "ok") this.#traffic.record(address, "health-ok");
    else if (health === "failed")
      this.#traffic.record(address, "health-failed", new Error("Its health check reports a failure"));
  }

  #checkAll(): void {
    for (const address of this.#checks.keys()) this.healthChanged(address);
  }

  /** The address as the list has it; undefined, with a line in the log, when nobody can be dialled there. */
  #usable(text: string): string | undefined {
    const target = parseAddress(text);
    if (target === undefined) {
      this.#options.log.warn({ server: text }, "server address is ignored: it is no host:port");
      return undefined;
    }
    if (target.port === this.#port && isLoopback(target.host)) {
      this.#options.log.debug({ server: text }, "server address is ignored: it is that of the load balancer");
      return undefined;
    }
    return formatAddress(target);
  }

  #save(): Promise<void> {
    this.#saved = this.#file.save({ serverUrl: this.#defaultUrl(), addresses: this.#addresses });
    return this.#saved;
  }

  #defaultUrl(): string {
    const { scheme, address } = this.#configured;
    return formatServerUrl({ scheme, address: this.#servers.defaultAddress ?? address });
  }

  #list(): string {
    return this.servers()
      .map(({ address }) => address)
      .join(",");
  }
}

function isSameUrl(saved: string, configured: string): boolean {
  return URL.canParse(saved) && new URL(saved).href === new URL(configured).href;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
