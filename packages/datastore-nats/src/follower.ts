import { deadline, Latest, sleep } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { AckPolicy, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { nanos, type Msg } from "@nats-io/transport-node";
import { streamOf } from "./bucket-config.ts";
import { parseDelivery, statusOf } from "./delivery.ts";
import { REQUEST_MS, type NatsLink } from "./nats-link.ts";
import type { StoredMessage } from "./row-record.ts";

/** How often the server says that there is nothing new. */
const HEARTBEAT_MS = 1000;
/** After which it is taken for gone. */
const SILENCE_MS = 3500;
/** After which the server forgets a follower that is gone. */
const FORGOTTEN_MS = 10_000;
const RETRY_MS = 200;
/** A message of the server's own: a heartbeat, or a question whether we keep up. */
const CONTROL = 100;

export interface FollowerOptions {
  readonly link: NatsLink;
  readonly log: Logger;
  readonly bucket: string;
  /** Begins the name that the server knows us by; letters, digits, "-" and "_". */
  readonly namePrefix: string;
  /** The first message to deliver; earlier ones are not. */
  readonly from: number;
  /** Called for every message, in order, each once. */
  readonly onMessage: (message: StoredMessage) => void;
}

/** Tells of every message of a bucket as soon as the server has it, for ever: after an outage from where it stood. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #stop = new AbortController();
  readonly #started = new Latest(false);
  readonly #running: Promise<void>;
  readonly #forget: () => void;
  #next: number;
  #consumers = 0;
  /** Why the last consumer ended, or could not begin. */
  #failure: unknown;
  /** Ends the present consumer, for another one to follow. */
  #renew: (reason: string) => void = () => undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#next = options.from;
    this.#forget = options.link.onReturn(() => this.#renew("the connection is a new one"));
    this.#running = this.#run();
  }

  /** Resolves once the server knows of us; rejects with DriverError when it takes too long. */
  async started(): Promise<void> {
    using limit = deadline(REQUEST_MS, "Following the bucket");
    try {
      await this.#started.until((isStarted) => isStarted, limit);
    } catch (error) {
      const state = "NATS has made no consumer for it";
      const cause = this.#failure ?? error;
      throw new DriverError("failed", `Cannot follow bucket "${this.#options.bucket}": ${state}`, { cause });
    }
  }

  /** Any number of times. */
  async close(): Promise<void> {
    this.#forget();
    this.#stop.abort(new Error("The driver is closed"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log, bucket } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#follow(signal);
      } catch (error) {
        this.#failure = error;
        if (!signal.aborted) log.debug({ error, bucket }, "following the bucket anew");
      }
      await sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }

  /** Rejects when the consumer cannot go on. */
  async #follow(signal: AbortSignal): Promise<never> {
    const { link } = this.#options;
    const inbox = link.newInbox();
    const ended = Promise.withResolvers<never>();
    this.#renew = (reason) => ended.reject(new Error(`Cannot follow bucket: ${reason}`));
    const heard = { count: 0, atMs: performance.now() };
    const subscription = link.connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) ended.reject(error);
        else this.#take(message, heard);
      },
    });
    try {
      // Together: the server can refuse the inbox before it answers.
      await Promise.race([ended.promise, this.#addConsumer(inbox)]);
      this.#started.set(true);
      return await Promise.race([ended.promise, this.#listen(heard, signal)]);
    } finally {
      this.#renew = () => undefined;
      subscription.unsubscribe();
    }
  }

  async #addConsumer(inbox: string): Promise<void> {
    const { link, bucket, namePrefix } = this.#options;
    await link.run("follow bucket", () =>
      link.manager.consumers.add(streamOf(bucket), {
        name: `${namePrefix}_${++this.#consumers}`,
        deliver_subject: inbox,
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: this.#next,
        replay_policy: ReplayPolicy.Instant,
        flow_control: true,
        idle_heartbeat: nanos(HEARTBEAT_MS),
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(FORGOTTEN_MS),
      }),
    );
  }

  /** Rejects when the server has been silent for too long, or `signal` aborts. */
  async #listen(heard: { readonly atMs: number }, signal: AbortSignal): Promise<never> {
    while (performance.now() - heard.atMs < SILENCE_MS) await sleep(HEARTBEAT_MS, signal);
    throw new Error("Cannot follow bucket: the server is silent");
  }

  #take(message: Msg, heard: { count: number; atMs: number }): void {
    heard.atMs = performance.now();
    const delivery = parseDelivery(message, false);
    if (delivery === undefined) {
      const asks = message.reply !== undefined && message.reply !== "";
      if (statusOf(message) === CONTROL && asks) message.respond();
      return;
    }
    if (delivery.count !== ++heard.count) {
      this.#renew("a message was lost on the way");
      return;
    }
    const { seq } = delivery.message;
    if (seq < this.#next) return;
    this.#next = seq + 1;
    this.#options.onMessage(delivery.message);
  }
}
