import { DriverError } from "@k3s/datastore";
import { AckPolicy, DeliverPolicy, type StoredMsg } from "@nats-io/jetstream";
import { headers as newHeaders, nanos } from "@nats-io/transport-node";
import { streamOf } from "./bucket-config.ts";
import type { NatsLink } from "./nats-link.ts";
import { replayPages } from "./replay.ts";
import type { OutgoingMessage } from "./row-message.ts";
import type { StoredMessage } from "./row-record.ts";

/** Requests under way at a time: enough to hide the way to the server. */
const MAX_REQUESTS = 256;
/** After which the server forgets a consumer that only told the time. */
const FORGOTTEN_MS = 10_000;

/** What a write expects of the bucket; otherwise it fails and nothing is written. */
export interface Expectation {
  /** Sequence of the newest message of the bucket. */
  readonly lastSequence?: number;
  /** Sequence of the newest message of the subject; 0: none. */
  readonly lastSubjectSequence?: number;
  /** Id of the newest message of the bucket. */
  readonly lastMsgID?: string;
}

/** How a message is published. */
export interface PublishOptions {
  readonly expect?: Expectation;
  /** By which the next message can expect this one. */
  readonly msgID?: string;
}

interface BucketParts {
  readonly bucket: string;
  readonly isReplicated: boolean;
  /** Whether the stream has allow_direct. Default true. */
  readonly hasDirect?: boolean;
}

/** A key-value bucket of JetStream: messages by sequence, one after the other. All rejections are DriverError. */
export class Bucket {
  readonly #link: NatsLink;
  readonly #stream: string;
  /** Followers may not have what the leader has. */
  readonly #isReplicated: boolean;
  readonly #hasDirect: boolean;

  constructor(link: NatsLink, options: BucketParts) {
    this.#link = link;
    this.#stream = streamOf(options.bucket);
    this.#isReplicated = options.isReplicated;
    this.#hasDirect = options.hasDirect ?? true;
  }

  /** Sequence of the newest message, as its leader knows it; 0: there was none ever. */
  async lastSequence(): Promise<number> {
    return (await this.#info()).last_seq;
  }

  async bytes(): Promise<number> {
    return (await this.#info()).bytes;
  }

  /** The server's clock, in ms since the epoch. Only newer servers tell it as such: they all tell when they made a consumer. */
  async clockMs(): Promise<number> {
    const { consumers } = this.#link.manager;
    const { name, created } = await this.#link.run("ask for the time", () =>
      consumers.add(this.#stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.New,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(FORGOTTEN_MS),
      }),
    );
    // The server does it by itself soon after.
    await this.#link.run("end question", () => consumers.delete(this.#stream, name)).catch(() => undefined);
    return Date.parse(created);
  }

  /** Messages by sequence, in the order asked; undefined where there is none. */
  async get(sequences: readonly number[]): Promise<(StoredMessage | undefined)[]> {
    const found: (StoredMessage | undefined)[] = [];
    for (let start = 0; start < sequences.length; start += MAX_REQUESTS) {
      const part = sequences.slice(start, start + MAX_REQUESTS);
      found.push(...(await Promise.all(part.map((seq) => this.#getOne(seq)))));
    }
    return found;
  }

  /** The newest message of a subject. */
  async newestOf(subject: string): Promise<StoredMessage | undefined> {
    const query = { last_by_subj: subject };
    const message = await this.#link.run("read message", () =>
      this.#link.manager.streams.getMessage(this.#stream, query),
    );
    return message === null ? undefined : fromStored(message);
  }

  /** How many messages the subject has behind `after` up to the one at `last`; Infinity: more than `most`, or none is at `last`. */
  async count(subject: string, { after, last, most }: CountedSpan): Promise<number> {
    let seq = after;
    for (let count = 1; count <= most; count++) {
      seq = (await this.#next(seq, subject)) ?? Number.POSITIVE_INFINITY;
      if (seq === last) return count;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Resolves with the sequence of the message once the server has it. Calls take effect in their order. */
  publish({ subject, headers, data }: OutgoingMessage, { expect, msgID }: PublishOptions): Promise<number> {
    return this.#link.run("write message", async () => {
      const header = newHeaders();
      for (const [name, value] of headers) header.set(name, value);
      const options = { headers: header, ...(expect && { expect }), ...(msgID !== undefined && { msgID }) };
      return (await this.#link.js.publish(subject, data, options)).seq;
    });
  }

  /** Removes the newest message of a subject, unless it is above `upTo`. Moves no reader of the bucket, as a purge may do. */
  async remove(subject: string, upTo: number): Promise<void> {
    const newest = await this.newestOf(subject);
    if (newest === undefined || newest.seq > upTo) return;
    try {
      await this.#link.run("remove message", () =>
        this.#link.manager.streams.deleteMessage(this.#stream, newest.seq, false),
      );
    } catch (error) {
      if ((await this.#getOne(newest.seq)) !== undefined) throw error; // else another server was first
    }
  }

  /** Removes what the subject has below a sequence. */
  async purge(subject: string, below: number): Promise<void> {
    if (subject === "") throw new DriverError("refused", "Cannot remove messages: without a subject NATS removes all");
    const range = { filter: subject, seq: below };
    await this.#link.run("remove messages", () => this.#link.manager.streams.purge(this.#stream, range));
  }

  /** Messages from a sequence up to another one, as far as there are any, in order and with bounded memory. */
  async *replay(range: ReplayRange): AsyncGenerator<StoredMessage> {
    const { from, to } = range;
    for (let seq = from - 1; seq < to;) {
      for await (const page of this.#pages({ ...range, from: seq + 1 })) {
        for (const message of page) {
          if (message.seq > to) return;
          ({ seq } = message);
          yield message;
        }
        if (seq >= to) return;
      }
      if (await this.#isEnd(seq, to)) return;
    }
  }

  /** Pages up to the first message that the server has left out. */
  async *#pages({ from, headersOnly }: ReplayRange): AsyncGenerator<readonly StoredMessage[]> {
    let before = from - 1;
    for await (const page of replayPages(this.#link, { stream: this.#stream, from, headersOnly })) {
      const messages = page.map(({ message }) => message);
      const whole = this.#link.skipsMessages ? await this.#untilSkipped(messages, before) : messages;
      yield whole;
      if (whole.length < messages.length) return;
      before = messages.at(-1)?.seq ?? before;
    }
  }

  /** The messages before the first gap that is none; the first of them follow `before`. */
  async #untilSkipped(messages: readonly StoredMessage[], before: number): Promise<readonly StoredMessage[]> {
    const gaps = messages
      .map(({ seq }, i) => ({ after: i === 0 ? before : (messages[i - 1]?.seq ?? before), seq, i }))
      .filter(({ after, seq }) => seq > after + 1);
    for (let start = 0; start < gaps.length; start += MAX_REQUESTS) {
      const part = gaps.slice(start, start + MAX_REQUESTS);
      const next = await Promise.all(part.map(({ after }) => this.#next(after)));
      const skipped = part.find(({ seq }, n) => (next[n] ?? seq) < seq);
      if (skipped !== undefined) return messages.slice(0, skipped.i);
    }
    return messages;
  }

  /** Whether nothing stands behind `seq` up to `to`: a follower of the leader may only not have it yet. */
  async #isEnd(seq: number, to: number): Promise<boolean> {
    if ((await this.#getOne(to)) !== undefined) return false;
    return !this.#link.skipsMessages || ((await this.#next(seq)) ?? Number.POSITIVE_INFINITY) > to;
  }

  /** Sequence of the message, of a subject or of any, that stands behind another one; undefined: none. */
  async #next(after: number, subject = ">"): Promise<number | undefined> {
    const { direct } = this.#link.manager;
    const query = { seq: after + 1, next_by_subj: subject };
    const message = await this.#link.run("read message", () => direct.getMessage(this.#stream, query));
    return message?.seq;
  }

  async #getOne(seq: number): Promise<StoredMessage | undefined> {
    if (seq < 1) return undefined;
    const { direct, streams } = this.#link.manager;
    return this.#link.run("read message", async () => {
      const message = this.#hasDirect ? await direct.getMessage(this.#stream, { seq }) : null;
      if (message !== null) return fromStored(message);
      if (this.#hasDirect && !this.#isReplicated) return undefined;
      const leaders = await streams.getMessage(this.#stream, { seq });
      return leaders === null ? undefined : fromStored(leaders);
    });
  }

  async #info(): Promise<{ readonly last_seq: number; readonly bytes: number }> {
    const info = await this.#link.run("ask for position", () => this.#link.manager.streams.info(this.#stream));
    return info.state;
  }
}

/** Messages that {@link Bucket.count} counts. */
export interface CountedSpan {
  readonly after: number;
  readonly last: number;
  readonly most: number;
}

export interface ReplayRange {
  readonly from: number;
  readonly to: number;
  /** Messages come without their data then. */
  readonly headersOnly: boolean;
}

function fromStored({ seq, subject, header, data }: StoredMsg): StoredMessage {
  return { seq, subject, header: (name) => header.get(name), data };
}
