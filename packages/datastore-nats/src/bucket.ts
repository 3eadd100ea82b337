import type { StoredMsg } from "@nats-io/jetstream";
import { headers as newHeaders } from "@nats-io/transport-node";
import { streamOf } from "./bucket-config.ts";
import type { NatsLink } from "./nats-link.ts";
import { replayPages } from "./replay.ts";
import type { OutgoingMessage } from "./row-message.ts";
import type { StoredMessage } from "./row-record.ts";

/** Requests under way at a time: enough to hide the way to the server. */
const MAX_REQUESTS = 256;

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

  /** Resolves with the sequence of the message once the server has it. Calls take effect in their order. */
  publish({ subject, headers, data }: OutgoingMessage, { expect, msgID }: PublishOptions): Promise<number> {
    return this.#link.run("write message", async () => {
      const header = newHeaders();
      for (const [name, value] of headers) header.set(name, value);
      const options = { headers: header, ...(expect && { expect }), ...(msgID !== undefined && { msgID }) };
      return (await this.#link.js.publish(subject, data, options)).seq;
    });
  }

  /** Removes what the subject has below a sequence. */
  async purge(subject: string, below: number): Promise<void> {
    const range = { filter: subject, seq: below };
    await this.#link.run("remove messages", () => this.#link.manager.streams.purge(this.#stream, range));
  }

  /** Messages from a sequence up to another one, as far as there are any, in order and with bounded memory. */
  async *replay(range: ReplayRange): AsyncGenerator<StoredMessage> {
    const { from, to, headersOnly } = range;
    if (from > to) return;
    for (let seq = from - 1; seq < to;) {
      for await (const page of replayPages(this.#link, { stream: this.#stream, from: seq + 1, headersOnly })) {
        for (const { message } of page) {
          if (message.seq > to) return;
          ({ seq } = message);
          yield message;
        }
        if (seq >= to) return;
      }
      if (await this.#isMissing(to)) return;
    }
  }

  /** Whether there is no such message: a follower of the leader may only not have it yet. */
  async #isMissing(seq: number): Promise<boolean> {
    return (await this.#getOne(seq)) === undefined;
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

export interface ReplayRange {
  readonly from: number;
  readonly to: number;
  /** Messages come without their data then. */
  readonly headersOnly: boolean;
}

function fromStored({ seq, subject, header, data }: StoredMsg): StoredMessage {
  return { seq, subject, header: (name) => header.get(name), data };
}
