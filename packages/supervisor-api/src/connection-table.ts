import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { peerProof, type PeerProof } from "./identity.ts";

/** How long and how many connections of clients that have not shown who they are may stay. */
export interface ConnectionLimits {
  /** At more than this many, the oldest goes: a newcomer always gets its chance. */
  readonly unprovenMax: number;
  /** Between the connection and the first request, and between requests. */
  readonly unprovenIdleMs: number;
  /** In all, whatever it does; above kube-apiserver's own limit of 60 s for a request. */
  readonly unprovenTotalMs: number;
  /** Requests in flight of all unproven connections together. */
  readonly unprovenRequestsMax: number;
  /** Between requests of clients that are known. */
  readonly provenIdleMs: number;
  /** For the body of a request that the supervisor answers itself. */
  readonly bodyMs: number;
}

export const defaultLimits: ConnectionLimits = {
  unprovenMax: 256,
  unprovenIdleMs: 10_000,
  unprovenTotalMs: 90_000,
  unprovenRequestsMax: 256,
  provenIdleMs: 180_000,
  bodyMs: 10_000,
};

/** One accepted TCP connection, from its first byte to its last. */
export class Connection {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly acceptedAtMs = performance.now();
  readonly #socket: Socket;
  #idleSinceMs = this.acceptedAtMs;
  #inFlight = 0;
  #isProven = false;
  #peer: PeerProof = { kind: "none" };
  #sayGoodbye: (() => void) | undefined;
  #isDraining = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = plainAddress(socket.remoteAddress ?? "");
    this.localAddress = plainAddress(socket.localAddress ?? "");
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** The client has shown credentials that hold; until then its connection lives under tight limits. */
  get isProven(): boolean {
    return this.#isProven;
  }

  get peer(): PeerProof {
    return this.#peer;
  }

  get idleSinceMs(): number {
    return this.#idleSinceMs;
  }

  prove(): void {
    this.#isProven = true;
  }

  /** The handshake is done. `sayGoodbye` closes what is idle gently; it is called again after each request. */
  secured(socket: TLSSocket, sayGoodbye: () => void): void {
    this.#peer = peerProof(socket);
    this.#sayGoodbye = sayGoodbye;
    if (this.#peer.kind === "proven") this.prove();
  }

  requestBegins(): void {
    this.#inFlight += 1;
  }

  requestEnds(): void {
    this.#inFlight -= 1;
    this.#idleSinceMs = performance.now();
    if (this.#isDraining) this.#sayGoodbye?.();
  }

  /** Ends the connection after what is in flight. */
  drain(): void {
    this.#isDraining = true;
    if (this.#sayGoodbye === undefined) this.destroy();
    else this.#sayGoodbye();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** All connections of the port, and the limits that hold for them. */
export class ConnectionTable {
  readonly #limits: ConnectionLimits;
  readonly #connections = new Map<Socket, Connection>();

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Whether one more request of somebody unknown would be too many. */
  get isCrowded(): boolean {
    const requests = this.#unproven().reduce((sum, connection) => sum + connection.inFlight, 0);
    return requests >= this.#limits.unprovenRequestsMax;
  }

  admit(socket: Socket): Connection {
    const unproven = this.#unproven();
    if (unproven.length >= this.#limits.unprovenMax) {
      // Map order is order of arrival. Who waits for an answer goes last.
      (unproven.find((candidate) => candidate.inFlight === 0) ?? unproven[0])?.destroy();
    }
    const connection = new Connection(socket);
    this.#connections.set(socket, connection);
    socket.once("close", () => this.#connections.delete(socket));
    socket.on("error", () => socket.destroy());
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

  #unproven(): readonly Connection[] {
    return [...this.#connections.values()].filter((connection) => !connection.isProven);
  }
}

/** An IPv4 address as such, also where a dual-stack socket reports it inside an IPv6 one. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
