import { COMPACT_KEY, keyOfName, type ChangedRow, type Changes, type RowSpan } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Bucket } from "./bucket.ts";
import { unpackKineValue } from "./kine-value.ts";
import { RowAssembler, type SettledRow, type VoidRow } from "./row-assembler.ts";
import type { RowMessages } from "./row-message.ts";
import { gapRecord, type RowRecord, type StoredMessage } from "./row-record.ts";
import type { RowTail } from "./row-tail.ts";
import type { SpanRepair } from "./span-repair.ts";

/** How often a message that does not arrive is looked for before it is fetched. */
const MAX_LOOKS = 10;
/** Messages of a replay whose data is fetched together where it is needed. */
const CHUNK = 500;
/** Bytes of values that are kept while it is read on to the newest row: no watch is told of the rows before that one. */
const MAX_KEPT_BYTES = 8 << 20;

interface RowReaderOptions {
  readonly messages: Bucket;
  readonly codec: RowMessages;
  /** Looks after transactions whose writer died in the middle. */
  readonly repair: SpanRepair;
  /** Their rows are given up and left as they are. Default false. */
  readonly isReadOnly?: boolean;
  readonly tail: () => RowTail | undefined;
  readonly log: Logger;
  /** Told of every row once it is certain. */
  readonly onRow: (row: SettledRow) => void;
}

/** Reads rows out of messages: all heads for a load, or what is new with its values. One reading at a time. */
export class RowReader {
  readonly #options: RowReaderOptions;
  readonly #assembler = new RowAssembler();
  /** Messages that put keys back to rows which are gone: they stand for those now. */
  readonly #orphans = new Set<number>();

  constructor(options: RowReaderOptions) {
    this.#options = options;
  }

  /** Rows that a server would put back. */
  get voids(): readonly VoidRow[] {
    return this.#assembler.voids;
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
        await this.#findOrphans(chunk);
        for (const message of chunk) yield* this.#add(message);
        at = chunk.at(-1)?.seq ?? at;
      }
      if (at < to) yield* this.#told(this.#assembler.missing(to));
      at = to;
    }
    await this.#takeBack(undefined);
  }

  /**
   * Rows after `after` with their values; none only when there was none during the call. Where messages are missing it goes on to what
   * is the newest then: of a key whose row was dropped there is a newer one. Values beyond some MiB are left out of that.
   */
  async changes(after: number, limit: number): Promise<Changes> {
    const reading: Reading = { at: after, settled: [], data: new Map(), dataBytes: 0, completeFrom: 0 };
    this.#assembler.rewind();
    while (!(await this.#readOn(reading, limit)));
    this.#assembler.rewind();
    await this.#takeBack(undefined);
    const { settled, completeFrom } = reading;
    return { rows: toChanges(reading), spans: spansOf(settled), completeFrom };
  }

  /** Reads one page more. Resolves with whether that is all. */
  async #readOn(reading: Reading, limit: number): Promise<boolean> {
    const { at, settled } = reading;
    const { messages, end } = await this.#whole(await this.#page(at, limit), at);
    if (messages.length < end - at) reading.completeFrom = await this.#options.messages.lastSequence();
    await this.#findOrphans(messages);
    for (const message of messages) {
      reading.dataBytes = this.#keepData(reading, message);
      settled.push(...this.#add(message));
    }
    if (end > at && messages.at(-1)?.seq !== end) settled.push(...this.#told(this.#assembler.missing(end)));
    reading.at = end;
    const isWhole = this.#assembler.open.length === 0;
    if (end === at && isWhole) return true;
    if (settled.length > 0 && isComplete(reading, isWhole)) return true;
    if (end === at) settled.push(...(await this.#settle(at)));
    return false;
  }

  #keepData({ data, dataBytes, completeFrom }: Reading, message: StoredMessage): number {
    const bytes = message.data?.length ?? 0;
    const hasRoom = completeFrom === 0 || dataBytes + bytes <= MAX_KEPT_BYTES;
    if (message.data === undefined || !(hasRoom || this.#isNeeded(message, completeFrom))) return dataBytes;
    data.set(message.seq, message.data);
    return dataBytes + bytes;
  }

  #isNeeded(message: StoredMessage, completeFrom: number): boolean {
    const record = this.#options.codec.read(message);
    return record !== "data" && record.kind === "row" && needsValue(record, completeFrom);
  }

  /** What stands behind `after`: from memory where it has arrived, else from the server. */
  async #page(after: number, limit: number): Promise<Page> {
    return (await this.#arrived(after, limit)) ?? (await this.#fetched(after, limit));
  }

  /** Fetches what the server left out when it sent the page (see `NatsLink.skipsMessages`). */
  async #whole(page: Page, after: number): Promise<Page> {
    const { messages, end } = page;
    if (messages.length === end - after) return page;
    const sent = new Set(messages.map(({ seq }) => seq));
    const missing = Array.from({ length: end - after }, (_, i) => after + 1 + i).filter((seq) => !sent.has(seq));
    const found = (await this.#options.messages.get(missing)).filter((message) => message !== undefined);
    return { messages: [...messages, ...found].sort((a, b) => a.seq - b.seq), end };
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
    for (let looks = 0; !(await tail.reaches(last)); looks++)
      if (looks === MAX_LOOKS || (await this.#options.messages.get([last]))[0] === undefined) return undefined;
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

  /** A row that a key was put back to goes where somebody shortens the bucket's history: it must not take the key with it. */
  async #findOrphans(chunk: readonly StoredMessage[]): Promise<void> {
    const { messages, codec } = this.#options;
    for (const message of chunk) {
      const row = codec.standsFor(message);
      if (row > 0 && (await messages.get([row]))[0] === undefined) this.#orphans.add(message.seq);
    }
  }

  #add(message: StoredMessage): readonly SettledRow[] {
    const { log } = this.#options;
    const known = this.#read(message);
    if (known.kind === "gap" && known.damage !== undefined)
      log.warn({ revision: message.seq, error: known.damage }, "cannot read a message of the bucket, it is left out");
    return this.#told(this.#assembler.add(known));
  }

  #told(settled: readonly SettledRow[]): readonly SettledRow[] {
    for (const row of settled) this.#options.onRow(row);
    return settled;
  }

  #read(message: StoredMessage): RowRecord {
    const record = this.#options.codec.read(message);
    // Removed between the replay and the question for its data: as if it had never been read.
    if (record === "data") return gapRecord(message.seq);
    return record.kind === "row" && this.#orphans.delete(message.seq) ? { ...record, isTakeBack: false } : record;
  }

  /** A transaction has no end yet: waits for it, or gives it up for good. */
  async #settle(last: number): Promise<readonly SettledRow[]> {
    if (await this.#options.repair.waitForMore(last)) return [];
    if (this.#options.isReadOnly === true) return this.#assembler.giveUp();
    const open = this.#assembler.open.map(({ head }) => ({ id: head.id, name: head.name }));
    await this.#options.repair.takeBack(open, last);
    return [];
  }

  /** Rows that kine still shows are put back; what fails is tried again with the next reading. */
  async #takeBack(last: number | undefined): Promise<void> {
    const { voids } = this.#assembler;
    if (voids.length === 0 || this.#options.isReadOnly === true) return;
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

/** How far the changes have been read. */
interface Reading {
  at: number;
  readonly settled: SettledRow[];
  /** Of messages, as they are stored. */
  readonly data: Map<number, Uint8Array>;
  dataBytes: number;
  /** As in {@link Changes}. */
  completeFrom: number;
}

function isComplete({ at, completeFrom }: Reading, isWhole: boolean): boolean {
  return completeFrom === 0 || (at >= completeFrom && isWhole);
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

function toChanges({ settled, data, completeFrom }: Reading): ChangedRow[] {
  let bytes = 0;
  return settled.map((row) => {
    const changed = toChanged(row, data.get(row.head.id));
    const valueBytes = changed.value?.length ?? 0;
    // A value can be larger than its message, which kine compresses.
    const hasRoom = bytes + valueBytes <= MAX_KEPT_BYTES;
    if (!hasRoom && !needsValue(row, completeFrom)) return { ...changed, value: undefined };
    bytes += valueBytes;
    return changed;
  });
}

/** Watches can be told of rows from `completeFrom` on; of the compaction key the version is read from the value. */
function needsValue({ head, span }: Pick<SettledRow, "head" | "span">, completeFrom: number): boolean {
  return (span?.last ?? head.id) >= completeFrom || keyOfName(head.name) === COMPACT_KEY;
}

function toChanged({ head, lease }: SettledRow, data: Uint8Array | undefined): ChangedRow {
  const isEmpty = head.deleted || data === undefined || data.length === 0;
  return { ...head, lease, value: isEmpty ? undefined : unpackKineValue(data).value };
}
