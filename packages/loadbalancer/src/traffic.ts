import type { Socket } from "node:net";
import { sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { Connection } from "./connection.ts";
import type { Dial } from "./dial.ts";
import { DialRace, type DialCourse } from "./dial-race.ts";
import type { ServerList, Effects } from "./server-list.ts";
import type { ServerEvent } from "./server-state.ts";

export interface TrafficOptions {
  readonly servers: ServerList;
  /** Begins a connection to a server. */
  readonly connect: Dial;
  readonly log: Logger;
  readonly dialled: (status: "success" | "error", durationMs: number) => void;
}

/** Connections in use are given this much quiet before they are taken for idle. */
const QUIET_MS = 250;

/** The clients of a load balancer: finds each a server and closes their connections when the list says so. */
export class Traffic {
  readonly #options: TrafficOptions;
  readonly #servers: ServerList;
  readonly #connections = new Map<string, Set<Connection>>();
  readonly #races = new Map<DialRace, Socket>();
  #isReconsidering = false;
  #isStranded = false;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#servers = options.servers;
  }

  /** Why no server can be reached; undefined unless the last dial of each has failed. */
  get dialError(): Error | undefined {
    const servers = this.#servers.ordered();
    if (servers.some(({ dialError }) => dialError === undefined)) return undefined;
    if (servers.length < 2) return servers[0]?.dialError;
    return new AggregateError(servers.map(({ address, dialError }) => new Error(address, { cause: dialError })));
  }

  /** Takes a paused socket of a client, which must allow half-open. */
  accept(client: Socket): void {
    const race: DialRace = new DialRace(this.#courseOf(client, () => this.#races.delete(race)));
    this.#races.set(race, client);
    client.on("error", () => client.destroy());
    client.once("close", () => {
      if (this.#races.delete(race)) race.cancel();
    });
    race.start();
  }

  /** Tells the list what was learnt of a server, and does what follows. */
  record(address: string, event: ServerEvent, error?: Error): void {
    this.apply(this.#servers.record(address, event), error);
  }

  /** Closes connections, logs changes, and lets clients that wait look at the list again, also without any change: it may be longer. */
  apply({ changes, cut }: Effects, error?: Error): void {
    const closed = new Map([...cut].map((address) => [address, this.#cut(address)]));
    for (const { address: server, from, to, cause } of changes) {
      const fields = { server, state: to, from, cause, connectionsClosed: closed.get(server) ?? 0 };
      const reason = to === "failed" && error !== undefined ? { error } : {};
      this.#options.log.log(to === "failed" ? "warn" : "info", { ...fields, ...reason }, "server changed its state");
    }
    if (this.#races.size > 0) this.#reconsiderSoon();
  }

  /** Ends idle connections at once, the others when they become idle or `hurry` aborts. Resolves when none is left. */
  async drain(hurry: AbortSignal): Promise<void> {
    for (const [race, client] of [...this.#races]) {
      race.cancel();
      client.destroy();
    }
    this.#races.clear();
    const seen = new Map<Connection, number>();
    while (this.#connections.size > 0) {
      for (const connection of [...this.#connections.values()].flatMap((set) => [...set])) {
        if (hurry.aborted) connection.cut();
        else if (seen.get(connection) === connection.bytesRead) connection.end();
        else seen.set(connection, connection.bytesRead);
      }
      await (hurry.aborted ? sleep(1) : sleep(QUIET_MS, hurry).catch(() => undefined));
    }
  }

  #courseOf(client: Socket, ended: () => void): DialCourse {
    const { connect, dialled, log } = this.#options;
    return {
      connect,
      next: (tried) => this.#servers.ordered().find(({ address }) => !tried.has(address))?.address,
      isPromising: (address) => this.#servers.isPromising(address),
      failed: (address, startedMs, error) => {
        dialled("error", performance.now() - startedMs);
        this.#servers.setDialError(address, error);
        if (!isLocal(error)) this.record(address, "dial-failed", error);
      },
      won: (address, startedMs, socket) => {
        dialled("success", performance.now() - startedMs);
        this.#servers.setDialError(address, undefined);
        if (!this.#join({ client, server: socket, address })) return false;
        ended();
        return true;
      },
      lost: () => {
        ended();
        client.destroy();
        if (!this.#isStranded)
          log.error({ servers: this.#addresses(), error: this.dialError }, "no server can be reached");
        this.#isStranded = true;
      },
    };
  }

  /** False when the list wants no connection to this server now, because another one is active. */
  #join({ client, server, address }: { client: Socket; server: Socket; address: string }): boolean {
    this.#servers.opened(address);
    const effects = this.#servers.record(address, "dial-ok");
    this.apply(effects);
    if (!this.#servers.has(address) || effects.cut.has(address)) {
      this.#servers.closed(address);
      server.destroy();
      return false;
    }
    if (this.#isStranded) this.#options.log.info({ server: address }, "a server can be reached again");
    this.#isStranded = false;
    client.removeAllListeners("error");
    client.removeAllListeners("close");
    this.#add(address, client, server);
    return true;
  }

  #add(address: string, client: Socket, server: Socket): void {
    const set = this.#connections.get(address) ?? new Set();
    this.#connections.set(address, set);
    set.add(
      new Connection(client, server, (connection) => {
        if (set.delete(connection)) this.#servers.closed(address);
        if (set.size === 0 && this.#connections.get(address) === set) this.#connections.delete(address);
      }),
    );
  }

  #cut(address: string): number {
    const set = this.#connections.get(address);
    if (set === undefined) return 0;
    const connections = [...set];
    set.clear(); // they count no more, also before their sockets have closed
    this.#connections.delete(address);
    for (const connection of connections) {
      this.#servers.closed(address);
      connection.cut();
    }
    return connections.length;
  }

  /** Not from within a callback of a race. */
  #reconsiderSoon(): void {
    if (this.#isReconsidering) return;
    this.#isReconsidering = true;
    queueMicrotask(() => {
      this.#isReconsidering = false;
      for (const race of [...this.#races.keys()]) race.reconsider((address) => this.#servers.has(address));
    });
  }

  #addresses(): string {
    return this.#servers
      .ordered()
      .map(({ address }) => address)
      .join(",");
  }
}

const LOCAL_CODES = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"];

/** Whether this machine could not even try: that says nothing about the server. */
function isLocal(error: Error): boolean {
  return "code" in error && LOCAL_CODES.includes(String(error.code));
}
