import { once } from "node:events";
import type { Socket } from "node:net";
import { Latest, sleep } from "@k3s/async";

/** How bytes travel in one direction. */
export interface PathOptions {
  /** Time from the arrival of a byte to its delivery. Default: 0. */
  readonly delayMs?: number;
  /** Default: no limit. */
  readonly bytesPerSecond?: number;
}

/** The state of one direction, shared by all of its pipes. */
export interface Path {
  options: PathOptions;
  readonly isStalled: Latest<boolean>;
  bytes: number;
  trap?: Trap | undefined;
}

/** Stalls a path in the middle of what it carries: before `text` passes for the `left`-th time from now on. */
interface Trap {
  readonly text: Buffer;
  left: number;
  readonly sprung: () => void;
}

interface Parcel {
  readonly chunk: Buffer;
  readonly arrivedAt: number;
}

/** Bytes on the way; beyond that the sender waits, as it would for the window of a real path. */
const IN_FLIGHT_MAX = 16 * 2 ** 20;

/** Carries bytes from one socket to the other as `path` says, then the end of the stream. */
export class DelayedPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #path: Path;
  readonly #gone: AbortSignal;
  readonly #parcels: Parcel[] = [];
  #inFlight = 0;
  #hasEnded = false;
  /** The newest of what was delivered, where the beginning of a trap's text may be. */
  #tail = Buffer.alloc(0);
  #arrived = Promise.withResolvers<void>();

  constructor({ from, to, path, gone }: { from: Socket; to: Socket; path: Path; gone: AbortSignal }) {
    this.#from = from;
    this.#to = to;
    this.#path = path;
    this.#gone = gone;
    from.on("data", (chunk: Buffer) => this.#take(chunk));
    from.once("end", () => {
      this.#hasEnded = true;
      this.#arrived.resolve();
    });
    gone.addEventListener("abort", () => this.#arrived.resolve(), { once: true });
  }

  /** Resolves when everything is delivered, or rejects when one of the sockets is gone. */
  async run(): Promise<void> {
    for (;;) {
      const parcel = await this.#next();
      if (parcel === undefined) return void this.#to.end();
      const { delayMs = 0, bytesPerSecond } = this.#path.options;
      const waitMs = parcel.arrivedAt + delayMs - performance.now();
      if (waitMs > 0) await sleep(waitMs, this.#gone);
      if (bytesPerSecond !== undefined) await sleep((parcel.chunk.length / bytesPerSecond) * 1000, this.#gone);
      await this.#moving();
      await this.#deliver(parcel.chunk);
    }
  }

  async #moving(): Promise<void> {
    if (this.#path.isStalled.get()) await this.#path.isStalled.until((isStalled) => !isStalled, this.#gone);
  }

  async #deliver(chunk: Buffer): Promise<void> {
    const passing = this.#beforeTrap(chunk);
    if (passing !== undefined) {
      await this.#write(chunk.subarray(0, passing));
      await this.#moving();
    }
    await this.#write(chunk.subarray(passing));
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#path.bytes += bytes.length;
    this.#inFlight -= bytes.length;
    if (this.#inFlight < IN_FLIGHT_MAX) this.#from.resume();
    if (bytes.length > 0 && !this.#to.write(bytes)) await once(this.#to, "drain", { signal: this.#gone });
  }

  /** Springs the trap of the path where its text is in here; answers with how much may still pass. */
  #beforeTrap(chunk: Buffer): number | undefined {
    const { trap } = this.#path;
    if (trap === undefined) return undefined;
    const { text } = trap;
    const carried = Buffer.concat([this.#tail, chunk]);
    const before = this.#tail.length;
    this.#tail = carried.subarray(Math.max(carried.length - text.length + 1, 0));
    for (let at = carried.indexOf(text); at >= 0; at = carried.indexOf(text, at + text.length)) {
      if (--trap.left > 0) continue;
      this.#path.trap = undefined;
      this.#path.isStalled.set(true);
      trap.sprung();
      return Math.max(at - before, 0);
    }
    return undefined;
  }

  #take(chunk: Buffer): void {
    this.#parcels.push({ chunk, arrivedAt: performance.now() });
    this.#inFlight += chunk.length;
    if (this.#inFlight >= IN_FLIGHT_MAX) this.#from.pause();
    this.#arrived.resolve();
  }

  async #next(): Promise<Parcel | undefined> {
    while (this.#parcels.length === 0 && !this.#hasEnded) {
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
      this.#gone.throwIfAborted();
    }
    return this.#parcels.shift();
  }
}
