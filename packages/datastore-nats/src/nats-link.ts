import { nextTurn } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import { createInbox, TimeoutError, type NatsConnection } from "@nats-io/transport-node";
import { toDriverError } from "./errors.ts";

/** No question waits longer: a frozen server is a failure then, and one of a cluster that lost its leader has not heard it. */
export const REQUEST_MS = 2000;
/** The same for writes, which wait for a disk. */
const WRITE_MS = 5000;

const CLOSE_TURNS = 3;
/** How often a kind of slow request is told of: a batch is hundreds of them at a time. */
const SLOW_EVERY_MS = 1000;
const SILENT_HINT =
  "Look for a NATS server that hangs (after its disk was full it needs a restart), a slow disk or network, and a stream without a leader (nats stream info)";
const AWAY_HINT = "Look whether the NATS server runs and can be reached; the connection is made again by itself";

export interface NatsLinkOptions {
  readonly connection: NatsConnection;
  /** Begins the subjects of {@link NatsLink.newInbox}; default: that of NATS. */
  readonly inboxPrefix?: string | undefined;
  readonly log: Logger;
  /** Requests that take longer are logged. */
  readonly slowMs: number;
  /** The endpoint without secrets. */
  readonly shown: string;
}

/** The connection to NATS: while it is away every request fails at once, and it comes back by itself. */
export class NatsLink {
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly #options: NatsLinkOptions;
  readonly #pending = new Set<(error: Error) => void>();
  #maxMessageBytes = Number.POSITIVE_INFINITY;
  readonly #returned = new Set<() => void>();
  #state: "up" | "away" | "closed" = "up";
  /** When each kind of request was told of last. */
  readonly #slowTold = new Map<string, number>();
  /** Since when requests get no answer although the connection is up. */
  #silentSince: number | undefined;

  private constructor(options: NatsLinkOptions, manager: JetStreamManager) {
    this.#options = options;
    this.js = jetstream(options.connection, { timeout: WRITE_MS });
    this.manager = manager;
    void this.#follow();
  }

  /** Takes the connection over. */
  static async over(options: NatsLinkOptions): Promise<NatsLink> {
    const manager = await jetstreamManager(options.connection, { timeout: REQUEST_MS, checkAPI: false });
    return new NatsLink(options, manager);
  }

  get connection(): NatsConnection {
    return this.#options.connection;
  }

  /** A subject of its own to hear answers on; the connection's user may hear on those alone. */
  newInbox(): string {
    return createInbox(this.#options.inboxPrefix);
  }

  /** Bytes that the server takes in one message, headers included; while there is no connection those of the last one. */
  get maxMessageBytes(): number {
    this.#maxMessageBytes = this.connection.info?.max_payload ?? this.#maxMessageBytes;
    return this.#maxMessageBytes;
  }

  /**
   * Whether the server, one before 2.10, moves every consumer of a bucket forward when one subject is purged, over messages of others
   * (nats-server #3838): what a consumer leaves out need not be gone.
   */
  get skipsMessages(): boolean {
    const [major = 0, minor = 0] = (this.connection.info?.version ?? "").split(".").map(Number);
    return major < 2 || (major === 2 && minor < 10);
  }

  /** `listener` is called whenever the connection is back. Returns how to stop that. */
  onReturn(listener: () => void): () => void {
    this.#returned.add(listener);
    return () => this.#returned.delete(listener);
  }

  /** Carries `task` out. Rejects with DriverError: at once when the connection is or goes away, else in seconds. */
  async run<T>(verb: string, task: () => Promise<T>): Promise<T> {
    if (this.#state !== "up") throw this.#unusable(verb);
    const gone = Promise.withResolvers<never>();
    this.#pending.add(gone.reject);
    const startedAt = performance.now();
    try {
      const result = await Promise.race([task(), gone.promise]);
      this.#noteTime(verb, performance.now() - startedAt);
      this.#noteAnswer();
      return result;
    } catch (error) {
      if (error instanceof TimeoutError) this.#noteSilence(startedAt);
      throw toDriverError(verb, error);
    } finally {
      this.#pending.delete(gone.reject);
    }
  }

  /** Any number of times. */
  async close(): Promise<void> {
    this.#leave("closed");
    // A socket whose other end has just closed has to be noticed first: the library would write to it, and the error would be nobody's.
    for (let turn = 0; turn < CLOSE_TURNS; turn++) await nextTurn();
    await this.connection.close();
  }

  #noteTime(verb: string, durationMs: number): void {
    const { slowMs, log } = this.#options;
    if (slowMs <= 0 || durationMs <= slowMs) return;
    const now = performance.now();
    const isDue = now - (this.#slowTold.get(verb) ?? -Infinity) >= SLOW_EVERY_MS;
    if (isDue) this.#slowTold.set(verb, now);
    log.log(isDue ? "info" : "debug", { request: verb, durationMs: Math.round(durationMs) }, "slow NATS request");
  }

  #noteSilence(since: number): void {
    if (this.#silentSince !== undefined || this.#state !== "up") return;
    this.#silentSince = since;
    const { log, shown } = this.#options;
    log.warn({ endpoint: shown, hint: SILENT_HINT }, "NATS does not answer");
  }

  #noteAnswer(): void {
    if (this.#silentSince === undefined) return;
    const durationMs = Math.round(performance.now() - this.#silentSince);
    this.#silentSince = undefined;
    this.#options.log.info({ durationMs }, "NATS answers again");
  }

  #unusable(verb: string): DriverError {
    const state = this.#state === "closed" ? "the driver is closed" : `"${this.#options.shown}" is away`;
    return new DriverError("failed", `Cannot ${verb}: ${state}`);
  }

  #leave(state: "away" | "closed"): void {
    if (this.#state !== "closed") this.#state = state;
    this.#silentSince = undefined; // the log is told of the worse
    const error = this.#unusable("finish request");
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
  }

  async #follow(): Promise<void> {
    const { log, shown } = this.#options;
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect") {
        if (this.#state === "up") log.warn({ endpoint: shown, hint: AWAY_HINT }, "NATS is away, trying to come back");
        this.#leave("away");
      } else if (status.type === "reconnect" && this.#state === "away") {
        this.#state = "up";
        log.info({ endpoint: shown }, "NATS is back");
        for (const listener of [...this.#returned]) listener();
      } else if (status.type === "error") log.warn({ error: status.error }, "NATS reports an error");
    }
    if (this.#state !== "closed") log.error({ endpoint: shown }, "the connection to NATS has ended for good");
    this.#leave("closed");
  }
}
