import { sleep } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Bucket, Expectation } from "./bucket.ts";
import { unpackKineValue } from "./kine-value.ts";
import type { VoidRow } from "./row-assembler.ts";
import type { RowMessages, TakenBack } from "./row-message.ts";
import type { StoredMessage } from "./row-record.ts";
import type { Subjects } from "./subjects.ts";

/**
 * After this time without the next row of a transaction its writer is gone. A writer that lives sends the rows at once and waits for
 * nothing between them but NATS's answers to them, whatever else it has to wait for (see RowWriter): only a way to NATS that stands still
 * makes it later, and then its transaction fails as a whole. So the time is short: until it is over nobody else can write.
 */
const WRITER_GONE_MS = 2000;
const LOOK_MS = 25;

interface SpanRepairOptions {
  readonly messages: Bucket;
  readonly subjects: Subjects;
  readonly codec: RowMessages;
  /** Messages that the bucket keeps of each key; not above 0: all. */
  readonly history: number;
  readonly log: Logger;
}

/**
 * Ends transactions whose writer died in the middle. For us their rows are nothing; kine, which knows no transactions, sees them, so
 * every key they touched is written again as it was before. The first of these messages also stands where the writer's next row would.
 *
 * A key that was there keeps its revision, and its row where it is, as long as half of the bucket's history has room for it: each such
 * transaction takes two places, and what the history drops is gone. After that the message is a change, to the value that the key had.
 */
export class SpanRepair {
  readonly #options: SpanRepairOptions;

  constructor(options: SpanRepairOptions) {
    this.#options = options;
  }

  /** Waits for a row behind `last`. Resolves with false when its writer is gone. */
  async waitForMore(last: number): Promise<boolean> {
    const deadlineMs = performance.now() + WRITER_GONE_MS;
    while (performance.now() < deadlineMs) {
      if ((await this.#options.messages.lastSequence()) > last) return true;
      await sleep(LOOK_MS);
    }
    return false;
  }

  /** Puts keys back. `last`: the sequence behind which nothing may stand; undefined: another message has ended the transaction already. */
  async takeBack(rows: readonly VoidRow[], last: number | undefined): Promise<void> {
    let expected = last;
    for (const row of rows) {
      try {
        const seq = await this.#takeBack(row, expected);
        if (seq !== undefined) expected = undefined;
      } catch (error) {
        if (!(error instanceof DriverError && error.kind === "conflict")) throw error;
        if (expected !== undefined) return; // the writer lives, or another server repairs
      }
    }
  }

  async #takeBack({ id, name }: VoidRow, last: number | undefined): Promise<number | undefined> {
    const { messages, subjects, codec, log } = this.#options;
    const subject = subjects.ofName(name);
    const newest = subject === undefined ? undefined : await messages.newestOf(subject);
    if (newest?.seq !== id) return undefined;
    const message = codec.ofTakeBack(name, id, await this.#before(newest));
    if (message === undefined) return undefined;
    const expect: Expectation = last === undefined ? { lastSubjectSequence: id } : { lastSequence: last };
    const seq = await messages.publish(message, { expect });
    log.warn({ revision: id, name }, "took back a write of a server that ended in the middle of a transaction");
    return seq;
  }

  /** The row before a void one, if its key existed. */
  async #before(written: StoredMessage): Promise<TakenBack | undefined> {
    const { messages, codec } = this.#options;
    const record = codec.read(written);
    if (record === "data" || record.kind !== "row") return undefined;
    const [message] = await messages.get([record.head.prevRevision]);
    const before = message === undefined ? undefined : codec.read(message);
    if (message === undefined || before === undefined || before === "data") return undefined;
    if (before.kind !== "row" || before.head.deleted) return undefined;
    const { value } = unpackKineValue(message.data ?? Buffer.alloc(0));
    return { head: before.head, lease: before.lease, value, stays: await this.#stays(message, written.seq) };
  }

  /** Whether the history holds a message for long enough when a void row is the newest of its key. */
  async #stays({ seq, subject }: StoredMessage, last: number): Promise<boolean> {
    const { messages, history } = this.#options;
    if (history <= 0) return true;
    const most = Math.floor(history / 2) - 1;
    return (await messages.count(subject, { after: seq, last, most })) <= most;
  }
}
