import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { peerProof, type PeerProof } from "./identity.ts";
import { sourceOf } from "./source-of.ts";

/** One accepted TCP connection, from its first byte to its last. */
export class Connection {
  readonly remoteAddress: string;
  readonly localAddress: string;
  /** Whom it counts for where clients share something, see {@link sourceOf}. */
  readonly source: string;
  readonly acceptedAtMs = performance.now();
  readonly #socket: Socket;
  readonly #onProven: () => void;
  #idleSinceMs = this.acceptedAtMs;
  #inFlight = 0;
  #forwards = 0;
  #isProven = false;
  #peer: PeerProof = { kind: "none" };
  #sayGoodbye: (() => void) | undefined;
  #isDraining = false;

  /** `onProven` is called once, if the client shows who it is. */
  constructor(socket: Socket, onProven: () => void) {
    this.#socket = socket;
    this.#onProven = onProven;
    this.remoteAddress = plainAddress(socket.remoteAddress ?? "");
    this.source = sourceOf(this.remoteAddress);
    this.localAddress = plainAddress(socket.localAddress ?? "");
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Of those in flight the requests that were passed on to kube-apiserver. */
  get forwards(): number {
    return this.#forwards;
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
    if (this.#isProven) return;
    this.#isProven = true;
    this.#onProven();
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

  forwardBegins(): void {
    this.#forwards += 1;
  }

  forwardEnds(): void {
    this.#forwards -= 1;
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

/** An IPv4 address as such, also where a dual-stack socket reports it inside an IPv6 one. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
