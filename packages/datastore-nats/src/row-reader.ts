import type { ChangedRow, Changes, RowSpan } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Bucket } from "./bucket.ts";
import { unpackKineValue } from "./kine-value.ts";
import { RowAssembler, type SettledRow } from "./row-assembler.ts";
import type { RowMessages } from "./row-message.ts";
import { gapRecord, type StoredMessage } from "./row-record.ts";
import type { RowTail } from "./row-tail.ts";
import type { SpanRepair } from "./span-repair.ts";

/** Messages of a replay whose data is fetched together where it is needed. */
const CHUNK = 500;

interface RowReaderOptions {
  readonly messages: Bucket;
  readonly codec: RowMessages;
  readonly repair: SpanRepair;
  readonly tail: () => RowTail | undefined;
  readonly log: Logger;
  /** Told of every row once it is certain. */
  readonly onRow: (row: SettledRow) => void;
  /** Told where rows were dropped by the bucket before they were read: what lies below is not complete. */
  readonly onHole: (revision: number) => void;
}

/** Reads rows out of messages: all heads for a load, or what is new with its values. One reading at a time. */
export class RowReader {
  readonly #options: RowReaderOptions;
  readonly #assembler = new RowAssembler();

  constructor(options: RowReaderOptions) {
    this.#options = options;
  }

  /** All rows after `after`, without values, up to what is the newest when it gets there. */
  async *heads(after: number): AsyncGenerator<SettledRow> {
    const { messages } = this.#options;
    this.#assembler.rewind();
    for (let at = after; ;) {
      const to = await messages.lastSequence();
      if (to <= at) {
        if (this.#assembler.open.length === 0) break;
        yield* await this.#settle(at);
        continue;
      }
      for await (const chunk of this.#chunks(at + 1, to)) {
        for (const message of chunk) yield* this.#add(message);
        at = chunk.at(-1)?.seq ?? at;
      }
      if (at < to) yield* this.#assembler.add(gapRecord(to));
      at = to;
    }
    await this.#takeBack(undefined);
  }

  /** Rows after `after` with their values; none only when there was none during the call. */
  async changes(after: number, limit: number): Promise<Changes> {
    const settled: SettledRow[] = [];
    const data = new Map<number, Uint8Array>();
    this.#assembler.rewind();
    for (let at = after; ;) {
      const page = await this.#page(at, limit);
      for (const message of page.messages) {
        if (message.data !== undefined) data.set(message.seq, message.data);
        settled.push(...this.#add(message));
      }
      if (page.end > at && page.messages.at(-1)?.seq !== page.end)
        settled.push(...this.#assembler.add(gapRecord(page.end)));
      const isAtEnd = page.end === at;
      at = page.end;
      const isWhole = this.#assembler.open.length === 0;
      if (settled.length > 0 || (isAtEnd && isWhole)) break;
      if (isAtEnd) settled.push(...(await this.#settle(at)));
    }
    this.#assembler.rewind();
    await this.#takeBack(undefined);
    return { rows: settled.map((row) => toChanged(row, data.get(row.head.id))), spans: spansOf(settled) };
  }

  /** What stands behind `after`: from memory where it has arrived, else from the server. */
  async #page(after: number, limit: number): Promise<Page> {
    const page = (await this.#arrived(after, limit)) ?? (await this.#fetched(after, limit));
    if (page.messages.length < page.end - after) this.#options.onHole(page.end);
    return page;
  }

  /** undefined: it is not all here. */
  async #arrived(after: number, limit: number): Promise<Page | undefined> {
    const tail = this.#options.tail();
    const found = tail?.take(after, limit);
    if (tail === undefined || found === undefined) return undefined;
    if (found.length > 0) return toPage(found, after);
    const last = await this.#options.messages.lastSequence();
    if (last <= after) return { messages: [], end: after };
    // To fetch what is on its way would be a race with the history, which may drop what the server has sent.
    if (!(await tail.reaches(last))) return undefined;
    const arrived = tail.take(after, limit);
    return arrived === undefined || arrived.length === 0 ? undefined : toPage(arrived, after);
  }

  async #fetched(after: number, limit: number): Promise<Page> {
    const { messages } = this.#options;
    const end = Math.min(await messages.lastSequence(), after + limit);
    if (end <= after) return { messages: [], end: after };
    const sequences = Array.from({ length: end - after }, (_, i) => after + 1 + i);
    return { messages: (await messages.get(sequences)).filter((message) => message !== undefined), end };
  }

  /** Messages of a range; those of kine with their data. */
  async *#chunks(from: number, to: number): AsyncGenerator<readonly StoredMessage[]> {
    let chunk: StoredMessage[] = [];
    for await (const message of this.#options.messages.replay({ from, to, headersOnly: true })) {
      chunk.push(message);
      if (chunk.length < CHUNK) continue;
      yield await this.#withData(chunk);
      chunk = [];
    }
    if (chunk.length > 0) yield await this.#withData(chunk);
  }

  async #withData(chunk: readonly StoredMessage[]): Promise<readonly StoredMessage[]> {
    const { messages, codec } = this.#options;
    const needed = chunk.filter((message) => codec.read(message) === "data").map(({ seq }) => seq);
    if (needed.length === 0) return chunk;
    const found = await messages.get(needed);
    const bySequence = new Map(
      found.filter((message) => message !== undefined).map((message) => [message.seq, message]),
    );
    return chunk.map((message) => bySequence.get(message.seq) ?? message);
  }

  #add(message: StoredMessage): readonly SettledRow[] {
    const { codec, log, onRow } = this.#options;
    const record = codec.read(message);
    // Removed between the replay and the question for its data: as if it had never been read.
    const known = record === "data" ? gapRecord(message.seq) : record;
    if (known.kind === "gap" && known.damage !== undefined)
      log.warn({ revision: message.seq, error: known.damage }, "cannot read a message of the bucket, it is left out");
    const settled = this.#assembler.add(known);
    for (const row of settled) onRow(row);
    return settled;
  }

  /** A transaction has no end yet: waits for it, or gives it up for good. */
  async #settle(last: number): Promise<readonly SettledRow[]> {
    if (await this.#options.repair.waitForMore(last)) return [];
    const open = this.#assembler.open.map(({ head }) => ({ id: head.id, name: head.name }));
    await this.#options.repair.takeBack(open, last);
    return [];
  }

  /** Rows that kine still shows are put back; what fails is tried again with the next reading. */
  async #takeBack(last: number | undefined): Promise<void> {
    const { voids } = this.#assembler;
    if (voids.length === 0) return;
    await this.#options.repair.takeBack(voids, last);
    this.#assembler.forgetVoids();
  }
}

/** Messages behind a sequence. */
interface Page {
  readonly messages: readonly StoredMessage[];
  /** How far they reach; what is missing among them has been removed. */
  readonly end: number;
}

function toPage(messages: readonly StoredMessage[], after: number): Page {
  return { messages, end: messages.at(-1)?.seq ?? after };
}

/** Spans among rows, each once. */
function spansOf(rows: readonly SettledRow[]): RowSpan[] {
  const spans = new Map<number, RowSpan>();
  for (const { span } of rows) if (span !== undefined) spans.set(span.last, span);
  return [...spans.values()];
}

function toChanged({ head, lease }: SettledRow, data: Uint8Array | undefined): ChangedRow {
  const isEmpty = head.deleted || data === undefined || data.length === 0;
  return { ...head, lease, value: isEmpty ? undefined : unpackKineValue(data).value };
}
