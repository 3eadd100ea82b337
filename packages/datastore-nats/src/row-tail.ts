import { deadline, Latest } from "@k3s/async";
import type { StoredMessage } from "./row-record.ts";

/** Bytes of messages that wait to be read: beyond them they are fetched from the server. */
const MAX_BYTES = 16 << 20;
/** How long a message may be on its way that the server has. */
const ARRIVAL_MS = 500;

/** The newest messages of the bucket, kept as they arrive until they are read. */
export class RowTail {
  #messages: StoredMessage[] = [];
  #bytes = 0;
  /** What came after this sequence is here. */
  #from: number;
  readonly #last: Latest<number>;

  /** Messages after `last` will be added. */
  constructor(last: number) {
    this.#from = last;
    this.#last = new Latest(last);
  }

  /** Sequence of the newest message. */
  get last(): number {
    return this.#last.get();
  }

  add(message: StoredMessage): void {
    const { seq, data } = message;
    if (seq > this.#from) {
      this.#bytes += data?.length ?? 0;
      this.#messages.push(message);
    }
    this.#last.set(seq);
    if (this.#bytes > MAX_BYTES) this.#drop(seq);
  }

  /** Keeps nothing up to a sequence, whether it has arrived or not: nobody is going to read it. */
  forget(upTo: number): void {
    if (upTo <= this.#from) return;
    this.#cut(upTo);
    this.#from = upTo;
  }

  /** Messages after a sequence, at most `limit`; undefined: they are not all here. Earlier ones are forgotten. */
  take(after: number, limit: number): readonly StoredMessage[] | undefined {
    if (after < this.#from) return undefined;
    this.#cut(after);
    this.#from = Math.max(this.#from, Math.min(after, this.last));
    return this.#messages.slice(0, limit);
  }

  /** Whether the message has arrived, or does so in a moment. */
  async reaches(seq: number): Promise<boolean> {
    using limit = deadline(ARRIVAL_MS, "Waiting for a message to arrive");
    try {
      await this.#last.until((last) => last >= seq, limit);
      return true;
    } catch {
      return false;
    }
  }

  #cut(after: number): void {
    const start = this.#messages.findIndex(({ seq }) => seq > after);
    this.#messages = start < 0 ? [] : this.#messages.slice(start);
    this.#bytes = this.#messages.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
  }

  #drop(seq: number): void {
    this.#messages = [];
    this.#bytes = 0;
    this.#from = seq;
  }
}
