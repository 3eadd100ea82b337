import type { Server } from "node:net";
import { repeat } from "@k3s/async";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { ApiserverProxy } from "./apiserver-proxy.ts";
import type { PasswordCheck, TokenCheck } from "./authenticate.ts";
import { ConnectionTable, defaultLimits, type ConnectionLimits } from "./connection-table.ts";
import { WatchedCredentials, type CredentialFiles } from "./credentials.ts";
import { HttpsEndpoint } from "./https-endpoint.ts";
import { listen, portOf } from "./listen.ts";
import { OwnRoutes, type Routes } from "./own-routes.ts";
import { Router } from "./router.ts";
import { ServingContext, type ServingCertificate, type TlsPolicy } from "./serving-context.ts";
import { Upstream, type UpstreamAddress } from "./upstream.ts";

/** What the one port serves, to whom, and with which certificate. */
export interface SupervisorOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Undefined: every address. With a specific one the loopbacks are added where possible. */
  readonly bindAddress?: string;
  readonly files: CredentialFiles;
  readonly certificate: ServingCertificate;
  readonly passwords: PasswordCheck;
  /** Asked for bearer tokens of the supervisor's own paths while kube-apiserver answers. */
  readonly tokens: TokenCheck;
  readonly routes: Routes;
  /** Undefined on a machine without one: what is not the supervisor's own is not found. */
  readonly apiserver: UpstreamAddress | undefined;
  readonly tls?: TlsPolicy;
  readonly limits?: Partial<ConnectionLimits>;
  readonly log: Logger;
}

const SWEEP_MS = 2_000;
const REFRESH_MS = 30_000;

/** The one port: answers what is the supervisor's and passes everything else to kube-apiserver. */
export class SupervisorListener implements Component {
  readonly name = "supervisor-listener";
  readonly #options: SupervisorOptions;
  readonly #table: ConnectionTable;
  readonly #router: Router;
  readonly #stopping = new AbortController();
  #isApiserverReady = false;
  #servers: readonly Server[] = [];
  #credentials: WatchedCredentials | undefined;
  #upstream: Upstream | undefined;
  #proxy: ApiserverProxy | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#table = new ConnectionTable({ ...defaultLimits, ...options.limits });
    this.#router = new Router({ mayForward: (connection) => this.#table.mayForward(connection), log: options.log });
  }

  /** The port that is listened on; throws before the start. */
  get port(): number {
    const [server] = this.#servers;
    if (server === undefined) throw new Error("Cannot tell the port: the listener has not started");
    return portOf(server);
  }

  /** Whether kube-apiserver answers; until then its requests get 503. */
  setApiserverReady(isReady: boolean): void {
    this.#isApiserverReady = isReady;
    this.#router.setApiserverReady(isReady);
  }

  /** Reads the certificate files again if they have changed; done by itself now and then. Never rejects. */
  async refresh(): Promise<void> {
    try {
      const hasChanged = await this.#credentials?.refresh();
      if (hasChanged === true && this.#credentials !== undefined) this.#upstream?.use(this.#credentials.current.get());
    } catch (error) {
      this.#options.log.warn({ error }, "certificates could not be read again");
    }
  }

  /** Resolves once the port is open. Rejects with SupervisorError when it cannot be had. */
  async start(): Promise<void> {
    const { files, certificate, tls, apiserver, log, port, bindAddress } = this.#options;
    const credentials = await WatchedCredentials.load(files);
    const context = new ServingContext(certificate, credentials.current, tls ?? {});
    const upstream = apiserver === undefined ? undefined : new Upstream(apiserver, credentials.current.get());
    const proxy = upstream === undefined ? undefined : new ApiserverProxy(upstream, log);
    const endpoint = new HttpsEndpoint({ context, table: this.#table, router: this.#router, log });
    this.#credentials = credentials;
    this.#upstream = upstream;
    this.#proxy = proxy;
    this.#router.setMain({ proxy, own: this.#ownRoutes(), serverCa: () => credentials.current.get().serverCa });
    this.#servers = await listen({
      bindAddress,
      port,
      onConnection: (socket) => endpoint.accept(socket),
      onError: (error) => log.warn({ error }, "connection could not be accepted"),
    });
    this.#keepTidy();
    log.info({ port: this.port, bindAddress }, "listening");
  }

  /** Takes no more; ends watches and idle connections at once, the rest when done or when `hurry` aborts. */
  stop(hurry: AbortSignal): Promise<void> {
    return (this.#stopped ??= this.#stop(hurry));
  }

  async #stop(hurry: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    const force = () => this.#table.destroy();
    this.#proxy?.endStreams();
    this.#table.drain();
    if (hurry.aborted) force();
    else hurry.addEventListener("abort", force, { once: true });
    await Promise.all(closed);
    hurry.removeEventListener("abort", force);
    this.#upstream?.close();
  }

  #ownRoutes(): OwnRoutes {
    const { passwords, tokens, routes, limits, log } = this.#options;
    const authenticators = () => ({ passwords, tokens: this.#isApiserverReady ? tokens : undefined });
    const { bodyMs, turnMs } = { ...defaultLimits, ...limits };
    return new OwnRoutes({ routes, authenticators, bodyMs, turnMs, log });
  }

  #keepTidy(): void {
    const { signal } = this.#stopping;
    // Neither task rejects, so neither loop does.
    void repeat(SWEEP_MS, () => this.#table.sweep(performance.now()), signal);
    void repeat(REFRESH_MS, () => this.refresh(), signal);
  }
}
