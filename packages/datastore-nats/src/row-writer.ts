import { DriverError, type CommitBatch, type NewRow } from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Bucket } from "./bucket.ts";
import type { HistoryGuard } from "./history-guard.ts";
import { inSlices } from "./in-slices.ts";
import type { NatsLink } from "./nats-link.ts";
import { formatNote } from "./row-header.ts";
import { HEADER_BYTES, type OutgoingMessage, type RowMessages } from "./row-message.ts";
import type { SideNote } from "./row-record.ts";

/** JetStream takes 65535 bytes of headers; the rest of them is short. */
const MAX_NOTE_BYTES = 60_000;
/** Messages under way at a time: enough to hide the way to the server, and answered long before any of them is given up. */
const MAX_PENDING = 256;
/** Messages that are made, or sent, in one turn of the event loop: a few milliseconds. */
const SLICE_MESSAGES = 64;

interface RowWriterOptions {
  readonly messages: Bucket;
  readonly codec: RowMessages;
  readonly link: NatsLink;
  readonly guard: HistoryGuard;
  /** Begins the ids of our messages: letters and digits. */
  readonly writer: string;
}

/** Rows `start` to `end` of a batch. */
interface Part {
  readonly batch: CommitBatch;
  readonly note: SideNote | undefined;
  /** Begins the ids of the messages. */
  readonly prefix: string;
  readonly start: number;
  readonly end: number;
}

/** Hears how a batch gets on. */
export interface Progress {
  /** Called again and again while it takes long. It does not reject. */
  keepOn(): Promise<void>;
  /** Told of the last row of some that are stored, after those before them. */
  stored(last: number): void;
}

/** Where a batch is to go on. */
interface Beginning {
  readonly batch: CommitBatch;
  readonly start: number;
  /** Ends of transactions by their begins, as places among the rows. */
  readonly ends: ReadonlyMap<number, number>;
  readonly keepOn: () => Promise<void>;
}

/**
 * Writes the rows of a batch, many at once and each for its sequence. A row expects the sequence before its own and, from the second on,
 * the id of the message before: if another program's message comes in between, none of the rows behind it can be written, not even the
 * one whose sequence would be right again.
 */
export class RowWriter {
  readonly #options: RowWriterOptions;
  #batches = 0;

  constructor(options: RowWriterOptions) {
    this.#options = options;
  }

  /** Before the turn to write is taken: resolves once the rows that others have not read yet are not in the way, as far as it is known before. */
  async ready({ rows }: CommitBatch): Promise<void> {
    const { guard } = this.#options;
    const blocker = guard.blockerOf(rows);
    if (blocker > 0) await guard.waitFor(blocker);
  }

  /**
   * Resolves once all rows are stored. `conflict` and `refused`: none is. `failed`: the first ones may be.
   *
   * Between the rows of a transaction it waits for nothing but the answers to those rows and its turn in the event loop. To the others a
   * transaction that stands still is one whose writer died, and soon they take it back (see SpanRepair); how fast they read on must never
   * decide on that. So they are waited for before its first row only: what of theirs it may drop is known by then.
   */
  async write(batch: CommitBatch, note: SideNote | undefined, progress: Progress): Promise<void> {
    const keepOn = () => progress.keepOn();
    const prefix = `${this.#options.writer}-${(this.#batches++).toString(36)}-`;
    const ends = new Map(batch.spans.map(({ first, last }) => [first - batch.after - 1, last - batch.after]));
    let kept = Promise.resolve();
    try {
      for (let start = 0, admitted = 0; start < batch.rows.length;) {
        if (start === admitted) admitted = await this.#admit({ batch, start, ends, keepOn });
        kept = kept.then(keepOn);
        const end = Math.min(admitted, start + MAX_PENDING);
        await this.#writePart({ batch, note, prefix, start, end });
        progress.stored(batch.after + end);
        start = end;
        if (start < batch.rows.length) failpoint("nats.part");
      }
    } finally {
      await kept; // so that nothing keeps a claim that has been given back
    }
  }

  /** Resolves with the end of the rows that can be written now; it is in no transaction. */
  async #admit({ batch: { rows }, start, ends, keepOn }: Beginning): Promise<number> {
    const { guard } = this.#options;
    for (let at = start; ;) {
      const next = ends.get(at) ?? at + 1;
      const blocker = await guard.admit(rows.slice(at, next));
      if (blocker === 0) at = next;
      else if (at === start) await guard.waitFor(blocker, keepOn);
      if (at >= rows.length || at - start >= MAX_PENDING || (blocker > 0 && at > start)) return at;
    }
  }

  async #writePart(part: Part): Promise<void> {
    const { batch, start, end } = part;
    try {
      assertAllWritten(await this.#publish(part), start > 0);
    } catch (error) {
      const isUnsure = error instanceof DriverError && error.kind === "failed";
      this.#options.guard.withdraw(batch.after + 1 + (isUnsure ? end : start));
      throw error;
    }
  }

  /** All of them can be sent, or none is. Resolves once each has been answered. */
  async #publish({ batch, note, prefix, start, end }: Part): Promise<readonly PromiseSettledResult<number>[]> {
    const { messages } = this.#options;
    const last = batch.rows.length - 1;
    const outgoing: OutgoingMessage[] = [];
    await inSlices(batch.rows.slice(start, end), SLICE_MESSAGES, (row, n) => {
      assertId(row, batch.after + 1 + start + n);
      const message = this.#toMessage(batch, row, start + n === last ? note : undefined);
      if (typeof message === "string") throw new DriverError(start > 0 ? "failed" : "refused", message);
      outgoing.push(message);
    });
    const answers: Promise<number>[] = [];
    await inSlices(outgoing, SLICE_MESSAGES, (message, n) => {
      const i = start + n;
      const answer = messages.publish(message, {
        expect: { lastSequence: batch.after + i, ...(i > 0 && { lastMsgID: `${prefix}${i - 1}` }) },
        ...(i < last && { msgID: `${prefix}${i}` }),
      });
      answer.catch(() => undefined); // heard below, and perhaps there before the last one is asked for
      answers.push(answer);
    });
    return Promise.allSettled(answers);
  }

  /** Tells of ended leases when there is no row to tell it with. Takes the id after `after`. */
  async writeNote(note: SideNote, after: number): Promise<number> {
    return this.#options.messages.publish(this.#options.codec.ofNote(note), { expect: { lastSequence: after } });
  }

  /** A text says why there can be none. */
  #toMessage(batch: CommitBatch, row: NewRow, note: SideNote | undefined): OutgoingMessage | string {
    const { codec, link } = this.#options;
    const span = batch.spans.find(({ first, last }) => first <= row.id && row.id <= last);
    const message = codec.ofRow(row, { span, note });
    if (message === undefined)
      return `Cannot write row ${row.id}: its name of ${row.name.length} characters is too long for NATS`;
    const noteBytes = note === undefined ? 0 : formatNote(note).length;
    const bytes = message.data.length + HEADER_BYTES + noteBytes;
    if (noteBytes > MAX_NOTE_BYTES)
      return "Cannot write rows: more leases begin and end with them than NATS takes in a header";
    if (bytes > link.maxMessageBytes)
      return `Cannot write row ${row.id}: ${bytes} bytes are more than max_payload of the NATS server`;
    return message;
  }
}

function assertId({ id }: NewRow, expected: number): void {
  if (id !== expected) throw new DriverError("failed", `Cannot write row ${id}: NATS gives it the id ${expected}`);
}

function assertAllWritten(results: readonly PromiseSettledResult<number>[], hasBegun: boolean): void {
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return;
  const error: unknown = failed.reason;
  if (!hasBegun && results.every(({ status }) => status === "rejected")) throw error;
  // Told as a conflict the written ones would be written again.
  throw new DriverError("failed", "Cannot write all rows: another program wrote in between", { cause: error });
}
