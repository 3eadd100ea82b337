import type { Socket } from "node:net";
import { Connection } from "./connection.ts";
import { UnprovenConnections } from "./unproven-connections.ts";

/** How long and how many connections of clients that have not shown who they are may stay. */
export interface ConnectionLimits {
  /** At more than this many, the oldest of the source that has most goes: a newcomer always gets its chance. */
  readonly unprovenMax: number;
  /** Between the connection and the first request, and between requests. */
  readonly unprovenIdleMs: number;
  /** In all, whatever it does; above kube-apiserver's own limit of 60 s for a request. */
  readonly unprovenTotalMs: number;
  /** Requests of all unproven connections together that kube-apiserver has in hand. */
  readonly unprovenRequestsMax: number;
  /** The same of one source. */
  readonly unprovenRequestsEachMax: number;
  /** Between requests of clients that are known. */
  readonly provenIdleMs: number;
  /** For the body of a request that the supervisor answers itself. */
  readonly bodyMs: number;
  /** For its turn among the requests of agents; as long as an agent waits for its answer. */
  readonly turnMs: number;
}

export const defaultLimits: ConnectionLimits = {
  unprovenMax: 256,
  unprovenIdleMs: 10_000,
  unprovenTotalMs: 90_000,
  unprovenRequestsMax: 256,
  unprovenRequestsEachMax: 64,
  provenIdleMs: 180_000,
  bodyMs: 10_000,
  turnMs: 10_000,
};

/** All connections of the port, and the limits that hold for them. */
export class ConnectionTable {
  readonly #limits: ConnectionLimits;
  readonly #connections = new Map<Socket, Connection>();
  readonly #unproven = new UnprovenConnections();

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Whether kube-apiserver gets one more request from there: somebody unknown leaves room for others. */
  mayForward(connection: Connection): boolean {
    if (connection.isProven) return true;
    const { unprovenRequestsMax, unprovenRequestsEachMax } = this.#limits;
    const { all, same } = this.#unproven.forwards(connection.source);
    return all < unprovenRequestsMax && same < unprovenRequestsEachMax;
  }

  admit(socket: Socket): Connection {
    const connection = new Connection(socket, () => this.#unproven.remove(connection));
    this.#connections.set(socket, connection);
    this.#unproven.add(connection);
    socket.once("close", () => {
      this.#connections.delete(socket);
      this.#unproven.remove(connection);
    });
    socket.on("error", () => socket.destroy());
    if (this.#unproven.size > this.#limits.unprovenMax) this.#makeRoom(connection);
    return connection;
  }

  /** Ends every connection that is over its limits. */
  sweep(nowMs: number): void {
    for (const connection of this.#connections.values()) {
      if (!this.#isOver(connection, nowMs)) continue;
      if (connection.isProven) connection.drain();
      else connection.destroy();
    }
  }

  drain(): void {
    for (const connection of this.#connections.values()) connection.drain();
  }

  destroy(): void {
    for (const connection of this.#connections.values()) connection.destroy();
  }

  #isOver(connection: Connection, nowMs: number): boolean {
    const idleMs = connection.inFlight > 0 ? 0 : nowMs - connection.idleSinceMs;
    if (connection.isProven) return idleMs > this.#limits.provenIdleMs;
    return idleMs > this.#limits.unprovenIdleMs || nowMs - connection.acceptedAtMs > this.#limits.unprovenTotalMs;
  }

  #makeRoom(newcomer: Connection): void {
    const victim = this.#unproven.victimOf(newcomer);
    if (victim === undefined) return;
    this.#unproven.remove(victim); // at once: its socket closes only after the others that are accepted in this turn
    victim.destroy();
  }
}
