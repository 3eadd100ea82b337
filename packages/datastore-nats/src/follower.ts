import { aborted, abortReason, deadline, sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { DeliverPolicy, type ConsumerMessages } from "@nats-io/jetstream";
import { streamOf } from "./bucket-config.ts";
import { fromConsumed } from "./bucket.ts";
import { REQUEST_MS, type NatsLink } from "./nats-link.ts";
import type { StoredMessage } from "./row-record.ts";

/** How many messages the server sends ahead. */
const WINDOW = 1000;
/** Least that the library takes: how soon a consumer that the server forgot is noticed. */
const HEARTBEAT_MS = 1000;
const RETRY_MS = 200;
/** After which the server forgets a follower that is gone. */
const FORGOTTEN_MS = 10_000;

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
  readonly #running: Promise<void>;
  readonly #forget: () => void;
  readonly #started = Promise.withResolvers<void>();
  #next: number;
  #messages: ConsumerMessages | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#next = options.from;
    this.#forget = options.link.onReturn(() => this.#messages?.stop());
    this.#running = this.#run();
  }

  /** Resolves once the server knows of us. */
  async started(): Promise<void> {
    using limit = deadline(REQUEST_MS, "Following the bucket");
    await Promise.race([this.#started.promise, aborted(limit).then(() => Promise.reject(abortReason(limit)))]);
  }

  /** Any number of times. */
  async close(): Promise<void> {
    this.#forget();
    this.#stop.abort(new Error("The driver is closed"));
    this.#messages?.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log, bucket } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#consume(signal);
      } catch (error) {
        if (!signal.aborted) log.debug({ error, bucket }, "cannot follow the bucket, trying again");
      }
      await sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }

  async #consume(signal: AbortSignal): Promise<void> {
    const { link, bucket, namePrefix, onMessage } = this.#options;
    const consumer = await link.run("follow bucket", () =>
      link.js.consumers.get(streamOf(bucket), {
        name_prefix: namePrefix,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: this.#next,
        inactive_threshold: FORGOTTEN_MS,
      }),
    );
    const messages = await link.run("follow bucket", () =>
      consumer.consume({ max_messages: WINDOW, idle_heartbeat: HEARTBEAT_MS }),
    );
    this.#messages = messages;
    this.#started.resolve();
    try {
      if (signal.aborted) throw abortReason(signal);
      for await (const message of messages) {
        if (message.seq < this.#next) continue;
        this.#next = message.seq + 1;
        onMessage(fromConsumed(message, false));
      }
    } finally {
      this.#messages = undefined;
      messages.stop();
    }
  }
}
