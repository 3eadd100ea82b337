import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Latest } from "@k3s/async";
import { resetSocket } from "@k3s/loadbalancer";
import { DelayedPipe, type Path, type PathOptions } from "./delayed-pipe.ts";

/** Seen from the proxy: towards the server it stands for, and back. */
export type Direction = "toTarget" | "toClient";

export interface FaultProxyOptions {
  readonly target: { readonly host?: string; readonly port: number };
  /** Default: a free port of 127.0.0.1. */
  readonly listen?: { readonly host: string; readonly port: number };
  readonly toTarget?: PathOptions;
  readonly toClient?: PathOptions;
}

const LOOPBACK = "127.0.0.1";
const DIRECTIONS: readonly Direction[] = ["toTarget", "toClient"];

/**
 * A TCP path on loopback that can be made bad: late (a delay for each direction), thin (bandwidth), silent (stall: as when
 * packets are lost), cut (reset) or closed (refuse). Faults hold for connections there are and for later ones.
 */
export class FaultProxy implements AsyncDisposable {
  readonly port: number;
  readonly #host: string;
  readonly #target: FaultProxyOptions["target"];
  readonly #paths: Readonly<Record<Direction, Path>>;
  readonly #server: Server;
  readonly #open = new Map<Socket, AbortController>();

  private constructor(options: FaultProxyOptions, server: Server) {
    this.#target = options.target;
    this.#paths = { toTarget: path(options.toTarget), toClient: path(options.toClient) };
    this.#server = server;
    this.#host = options.listen?.host ?? LOOPBACK;
    this.port = (server.address() as AddressInfo).port; // sound: it listens on TCP
    server.on("connection", (client) => void this.#carry(client));
  }

  /** Resolves when it listens. */
  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const { host, port } = options.listen ?? { host: LOOPBACK, port: 0 };
    const server = createServer({ allowHalfOpen: true }).listen(port, host);
    await once(server, "listening");
    return new FaultProxy(options, server);
  }

  /** Connections it carries now. */
  get connections(): number {
    return this.#open.size;
  }

  /** Bytes delivered in one direction, over all connections. */
  delivered(direction: Direction): number {
    return this.#paths[direction].bytes;
  }

  setPath(direction: Direction, options: PathOptions): void {
    this.#paths[direction].options = options;
  }

  /** Nothing is delivered any more, also no end of a connection; new ones are taken and stay silent. Default: both directions. */
  stall(...directions: readonly Direction[]): void {
    this.#setStalled(directions, true);
  }

  /** Ends {@link stall}: what was held back is delivered. */
  resume(...directions: readonly Direction[]): void {
    this.#setStalled(directions, false);
  }

  /**
   * Stalls a direction in the middle of what it carries: what comes before `text` is delivered, it and all that follows is not. Resolves then.
   * `count`: which time from now on that `text` passes. Text that arrives in pieces may have begun to pass.
   */
  stallAt(direction: Direction, text: string, count = 1): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#paths[direction].trap = { text: Buffer.from(text), left: count, sprung: resolve };
    return promise;
  }

  /** Breaks every connection with RST, on both sides. New ones are welcome. */
  cut(): void {
    for (const gone of this.#open.values()) gone.abort(new Error("Connection was cut"));
  }

  /** Breaks every connection and refuses new ones. */
  async refuse(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }

  /** Ends {@link refuse}, on the same port. */
  async accept(): Promise<void> {
    if (this.#server.listening) return;
    this.#server.listen(this.port, this.#host);
    await once(this.#server, "listening");
  }

  async stop(): Promise<void> {
    await this.refuse();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #setStalled(directions: readonly Direction[], isStalled: boolean): void {
    for (const direction of directions.length === 0 ? DIRECTIONS : directions)
      this.#paths[direction].isStalled.set(isStalled);
  }

  async #carry(client: Socket): Promise<void> {
    const gone = new AbortController();
    this.#open.set(client, gone);
    const target = connect({ host: LOOPBACK, ...this.#target, allowHalfOpen: true });
    for (const socket of [client, target]) {
      socket.setNoDelay(true);
      socket.on("error", (error) => gone.abort(error));
      socket.once("close", () => this.#forgetIfLost(client, target));
    }
    gone.signal.addEventListener("abort", () => {
      resetSocket(client);
      resetSocket(target);
    });
    const { signal } = gone;
    const there = new DelayedPipe({ from: client, to: target, path: this.#paths.toTarget, gone: signal });
    const back = new DelayedPipe({ from: target, to: client, path: this.#paths.toClient, gone: signal });
    await Promise.all([there.run(), back.run()]).catch((error: unknown) => gone.abort(error));
  }

  #forgetIfLost(client: Socket, target: Socket): void {
    if (client.closed && target.closed) this.#open.delete(client);
  }
}

function path(options: PathOptions = {}): Path {
  return { options, isStalled: new Latest(false), bytes: 0 };
}
