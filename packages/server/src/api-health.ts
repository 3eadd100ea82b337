import { deadline, sleep } from "@k3s/async";
import { describeError } from "@k3s/errors";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

/** When an API is dead and when it is good again; milliseconds. */
export interface ApiHealthTimes {
  /** Between two checks of a good API. */
  readonly everyMs: number;
  /** Between two checks while one has failed. */
  readonly againMs: number;
  /** For one check: a machine that has much to do may be slow. */
  readonly limitMs: number;
  /** Dead is what has not answered for so long, and failed twice in a row: a process that stood still finds one check late. */
  readonly deadAfterMs: number;
}

export interface ApiHealthOptions {
  /** Rejects with what is wrong. */
  readonly check: (signal: AbortSignal) => Promise<void>;
  /** Called when the API is found dead. */
  readonly onDead: () => void;
  readonly times?: Partial<ApiHealthTimes>;
  readonly log: Logger;
}

/** A node is NotReady after 40 s without word of its kubelet, which takes up to 10 s to try another server. */
const TIMES: ApiHealthTimes = { everyMs: 2_000, againMs: 1_000, limitMs: 5_000, deadAfterMs: 10_000 };
const FAILURES_MIN = 2;
/** A program that ends again and again answers now and then. */
const SUCCESSES_MIN = 3;
const REMIND_MS = 60_000;

/**
 *   stopped --start--> good --no answer for 10 s--> dead --three answers in a row--> good
 *      ^-----stop-------'--------------------------'
 */
type State = "stopped" | "good" | "dead";

/** Watches kube-apiserver for as long as it is meant to serve. To be started once it does. */
export class ApiHealth implements Component {
  readonly name = "api-health";
  readonly #options: ApiHealthOptions;
  readonly #times: ApiHealthTimes;
  readonly #stopping = new AbortController();
  #state: State = "stopped";
  #watching: Promise<void> = Promise.resolve();
  #goodAt = 0;
  #saidAt = 0;
  /** Of the same kind in a row. */
  #failures = 0;
  #successes = 0;

  constructor(options: ApiHealthOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
  }

  /** Whether clients are to be let in: false before the start and after stop(). */
  get isGood(): boolean {
    return this.#state === "good";
  }

  /** Whether it has been found dead. */
  get isDead(): boolean {
    return this.#state === "dead";
  }

  start(): Promise<void> {
    this.#state = "good";
    this.#goodAt = performance.now();
    this.#watching = this.#watch(this.#stopping.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#state = "stopped";
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#watching;
  }

  /** Never rejects. */
  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const failure = await this.#failure(signal);
      if (signal.aborted) return;
      if (failure === undefined) this.#succeeded();
      else this.#failed(failure);
      const delayMs = this.#state === "good" && this.#failures === 0 ? this.#times.everyMs : this.#times.againMs;
      await sleep(delayMs, signal).catch(() => undefined);
    }
  }

  /** What is wrong; undefined: nothing. */
  async #failure(signal: AbortSignal): Promise<string | undefined> {
    using limit = deadline(this.#times.limitMs, "its answer", signal);
    try {
      await this.#options.check(limit);
      return undefined;
    } catch (error) {
      return describeError(limit.aborted ? limit.reason : error);
    }
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#successes += 1;
    const silentMs = Math.round(performance.now() - this.#goodAt);
    if (this.#state === "dead") {
      if (this.#successes < SUCCESSES_MIN) return;
      this.#state = "good";
      this.#options.log.info({ silentMs }, "the API answers again: agents are taken");
    }
    this.#goodAt = performance.now();
  }

  #failed(reason: string): void {
    this.#successes = 0;
    this.#failures += 1;
    const silentMs = Math.round(performance.now() - this.#goodAt);
    const { log, onDead } = this.#options;
    if (this.#state === "dead") {
      if (performance.now() - this.#saidAt < REMIND_MS) return;
      log.warn({ reason, silentMs }, "the API still does not answer");
    } else {
      log.debug({ reason, silentMs }, "the API does not answer");
      if (this.#failures < FAILURES_MIN || silentMs < this.#times.deadAfterMs) return;
      this.#state = "dead";
      log.warn({ reason, silentMs }, "the API does not answer: tunnels are closed, so that agents use another server");
      onDead();
    }
    this.#saidAt = performance.now();
  }
}
