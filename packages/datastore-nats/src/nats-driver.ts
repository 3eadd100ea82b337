import {
  DriverError,
  MARKER_NAME,
  type Changes,
  type Claim,
  type CommitBatch,
  type DatabaseSize,
  type Driver,
  type DriverTraits,
  type LeaseId,
  type LeaseRecord,
  type NewRow,
  type Position,
  type Pruning,
  type RowHead,
  type RowRefusal,
  type RowSpan,
  type SharedDatabase,
  type SideState,
} from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Logger } from "@k3s/log";
import type { Bucket } from "./bucket.ts";
import type { Claims } from "./claims.ts";
import { Follower } from "./follower.ts";
import { HistoryFloor } from "./history-floor.ts";
import { followerPrefix } from "./history-guard.ts";
import { inSlices } from "./in-slices.ts";
import type { NatsLink } from "./nats-link.ts";
import { parseRowHeader, ROW_HEADER } from "./row-header.ts";
import type { SettledRow } from "./row-assembler.ts";
import { RowReader } from "./row-reader.ts";
import type { SideNote, StoredMessage } from "./row-record.ts";
import { RowTail } from "./row-tail.ts";
import { messageBytes, type RowMessages } from "./row-message.ts";
import { readValues } from "./row-values.ts";
import type { RowWriter } from "./row-writer.ts";
import type { SideBucket } from "./side-bucket.ts";
import type { SpanRepair } from "./span-repair.ts";
import type { Subjects } from "./subjects.ts";
import { Serial } from "./serial.ts";

/** Heads kept between the look at leases and spans and the load: more are read twice. */
const MAX_KEPT_HEADS = 200_000;
/** A batch of more rows takes long enough for others to come in between, unless they are asked to wait. */
const LONG_ROWS = 1000;
/** Stands for bytes that are no UTF-8. */
const REPLACEMENT = "\uFFFD";
/** Rows looked at in one turn of the event loop. */
const SLICE_ROWS = 10_000;

export interface NatsDriverParts {
  readonly link: NatsLink;
  readonly log: Logger;
  readonly bucket: string;
  readonly messages: Bucket;
  readonly sideMessages: Bucket;
  readonly side: SideBucket;
  readonly claims: Claims;
  readonly subjects: Subjects;
  readonly codec: RowMessages;
  readonly writer: RowWriter;
  readonly repair: SpanRepair;
  /** Messages that the bucket keeps of each key; not above 0: all. */
  readonly history: number;
  /** Marks our own messages. */
  readonly owner: string;
}

/** Rows as messages of kine's bucket: the sequence of a message is the id of its row. */
export class NatsDriver implements Driver {
  readonly shared: SharedDatabase;
  readonly traits: DriverTraits = {
    ids: "consecutive",
    guardsNames: false,
    atomic: "transaction",
    prunes: "deleted-keys",
  };
  readonly #parts: NatsDriverParts;
  readonly #reader: RowReader;
  readonly #reads = new Serial();
  readonly #writes = new Serial();
  /** Apart from the writes, which need not wait: what is removed here nobody reads or writes any more. */
  readonly #prunings = new Serial();
  /** Names to remove messages of, by the row whose compaction allows it. */
  readonly #removable = new Map<number, string>();
  #pages: { readonly rows: AsyncIterator<RowHead>; readonly position: number } | undefined;
  #tail: RowTail | undefined;
  #follower: Follower | undefined;
  #floor = 0;
  #listener: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: NatsDriverParts) {
    this.#parts = parts;
    const { messages, codec, repair, log } = parts;
    this.#reader = new RowReader({
      ...{ messages, codec, repair, log },
      tail: () => this.#tail,
      onRow: (row) => this.#learn(row),
    });
    this.shared = {
      position: () => this.#position(),
      changes: (after, limit) => this.#changes(after, limit),
      leases: () => this.#leases(),
      clockMs: () => parts.sideMessages.clockMs(),
      claim: () => this.#claim(),
      onChange: (listener) => (this.#listener = listener),
    };
  }

  /** Begins to hear of new messages. Once, before anything else. */
  async open(): Promise<void> {
    const { link, log, bucket, messages, owner } = this.#parts;
    const last = await messages.lastSequence();
    this.#tail = new RowTail(last);
    const onMessage = (message: StoredMessage) => this.#hear(message);
    this.#follower = new Follower({ link, log, bucket, namePrefix: followerPrefix(owner), from: last + 1, onMessage });
    await this.#follower.started();
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return this.#reads.run(() => this.#heads(after, limit));
  }

  side(): Promise<SideState> {
    return this.#reads.run(() => this.#loadSide());
  }

  values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    return readValues(this.#parts.messages, rows);
  }

  refusal(name: string, valueBytes: number): RowRefusal | undefined {
    const { subjects, link } = this.#parts;
    if (subjects.ofName(name) === undefined) return { part: "name", state: "NATS has no room for its subject" };
    if (messageBytes(name, valueBytes) <= link.maxMessageBytes) return undefined;
    return { part: "value", state: `max_payload of the NATS server is ${link.maxMessageBytes} bytes` };
  }

  commit(batch: CommitBatch): Promise<void> {
    return this.#writes.run(() => this.#commit(batch));
  }

  /**
   * Removes deleted keys. Replaced rows go with the bucket's history: to remove one NATS searches its whole block of messages. A key of
   * kine's whose subject cannot be told from its name stays: it is too long for us, or no UTF-8, and so written like another key.
   */
  prune({ rows }: Pruning): Promise<void> {
    return this.#prunings.run(async () => {
      const { messages, subjects, side } = this.#parts;
      const newest = this.#tail?.last ?? 0;
      await side.forgetEnded();
      for (const row of rows) {
        const name = this.#removable.get(row);
        // The newest message of all stays: from it NATS knows the next sequence.
        if (name === undefined || row >= newest) continue;
        const subject = name.includes(REPLACEMENT) ? undefined : subjects.ofName(name);
        if (subject !== undefined) await messages.purge(subject, row + 1);
        failpoint("nats.purged");
        this.#removable.delete(row);
      }
      await side.forgetRows(rows);
    });
  }

  async size(): Promise<DatabaseSize> {
    const { messages, sideMessages } = this.#parts;
    const bytes = (await messages.bytes()) + (await sideMessages.bytes());
    return { totalBytes: bytes, inUseBytes: bytes };
  }

  /** NATS compacts its files by itself. */
  async defragment(): Promise<void> {
    await this.#parts.messages.lastSequence();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { side, link } = this.#parts;
    await Promise.all([this.#reads.idle(), this.#writes.idle(), this.#prunings.idle()]);
    await Promise.all([this.#follower?.close(), side.close()]);
    await link.close();
  }

  async #heads(after: number, limit: number): Promise<readonly RowHead[]> {
    if (this.#pages?.position !== after) this.#pages = { rows: headsOf(this.#reader.heads(after)), position: after };
    const pages = this.#pages;
    this.#pages = undefined; // a reading that fails has no next page
    const page: RowHead[] = [];
    while (page.length < limit) {
      const next = await pages.rows.next();
      if (next.done === true) return page;
      page.push(this.#withCompaction(next.value));
    }
    this.#pages = { ...pages, position: page.at(-1)?.id ?? after };
    return page;
  }

  /** Kine's marker row says what is compacted; here that is kept beside the rows, as a message cannot be changed. */
  #withCompaction(head: RowHead): RowHead {
    return head.name === MARKER_NAME ? { ...head, prevRevision: this.#compactRevision } : head;
  }

  /** What the history dropped is compacted as well. */
  get #compactRevision(): number {
    return Math.max(this.#parts.side.compactRevision, this.#floor);
  }

  /** Reads all heads, for what they say of leases and spans; as many as fit are kept for the load, which follows. */
  async #loadSide(): Promise<SideState> {
    const { side } = this.#parts;
    const rowLeases = new Map<number, LeaseId>();
    const spans = new Map<number, RowSpan>();
    const history = new HistoryFloor({ history: this.#parts.history, compactRevision: side.compactRevision });
    let kept: RowHead[] | undefined = [];
    for await (const row of this.#reader.heads(0)) {
      const { head, lease, span } = row;
      history.add(row);
      if (lease !== 0n) rowLeases.set(head.id, lease);
      if (span !== undefined) spans.set(span.last, span);
      if (kept !== undefined && kept.length < MAX_KEPT_HEADS) kept.push(head);
      else kept = undefined;
    }
    if (history.revision > side.compactRevision) this.#floor = Math.max(this.#floor, history.revision);
    for (const [row, lease] of side.rowLeases) rowLeases.set(row, lease);
    this.#pages = kept && { rows: this.#keptThenNew(kept), position: 0 };
    await side.fresh();
    return { leases: side.leases(), rowLeases, spans: [...spans.values()] };
  }

  async *#keptThenNew(kept: RowHead[]): AsyncGenerator<RowHead> {
    let last = 0;
    for (const head of kept) {
      last = head.id;
      yield head;
    }
    kept.length = 0;
    yield* headsOf(this.#reader.heads(last));
  }

  async #commit(batch: CommitBatch): Promise<void> {
    const { claims, writer, log } = this.#parts;
    await writer.ready(batch); // first: meanwhile others need not wait for us
    // A compaction meets no row: whoever claims the next commit could else not know that one is on its way.
    const isCompaction = batch.compactRevision !== undefined;
    if (batch.rows.length > LONG_ROWS || isCompaction) await claims.claim();
    else await claims.turn();
    try {
      await this.#write(batch);
    } catch (error) {
      await claims.done().catch((cause: unknown) => log.debug({ error: cause }, "cannot give back a claim"));
      throw error;
    }
    if (batch.rows.length > 0 || isCompaction) await claims.done();
  }

  async #write(batch: CommitBatch): Promise<void> {
    const { side, log } = this.#parts;
    await this.#assertLeases(batch);
    const { endedLeases, rowLeases, compactRevision } = batch;
    for (const due of batch.dueLeases) {
      await side.beginEnd(due);
      failpoint("nats.ending");
    }
    const last = batch.rows.at(-1)?.id ?? batch.after;
    if (batch.rows.length > 0) await this.#writeRows(batch);
    else if (endedLeases.length > 0) await this.#writeNote({ leases: [], endedLeases }, batch.after);
    // Behind the rows, which tell of the leases too: a crash in between loses nothing.
    failpoint("nats.rows");
    await this.#writeLeases(batch, last);
    failpoint("nats.leases");
    await Promise.all(rowLeases.map(([row, lease]) => side.putRowLease(row, lease)));
    if (compactRevision !== undefined) await side.putCompacted(compactRevision);
    const superfluous = endedLeases.length > 0 ? side.forgetEnded() : Promise.resolve();
    void superfluous.catch((error: unknown) => log.debug({ error }, "cannot remove ended leases"));
  }

  /** Settles when none is on its way any more: another try would meet those. */
  async #writeLeases({ leases, requiredLeases, rowLeases }: CommitBatch, last: number): Promise<void> {
    const { side } = this.#parts;
    const [renewed, adopted] = [new Set(requiredLeases), new Set(rowLeases.map(([, lease]) => lease))];
    const write = (lease: LeaseRecord) => {
      if (renewed.has(lease.id)) return side.renewLease(lease, last);
      return adopted.has(lease.id) ? side.offerLease(lease, last) : side.putLease(lease, last);
    };
    const results = await Promise.allSettled(leases.map(write));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #writeRows(batch: CommitBatch): Promise<void> {
    const { writer, side } = this.#parts;
    const { leases, endedLeases } = batch;
    await side.forgetEnded(); // the rows may take the place of those that tell of the ends
    const note = leases.length + endedLeases.length > 0 ? { leases, endedLeases } : undefined;
    await writer.write(batch, note, {
      keepOn: () => this.#keepClaim(),
      stored: (last) => this.#tail?.forget(last), // only what others write is read as it arrives
    });
    const last = batch.rows.at(-1);
    if (note !== undefined && last !== undefined) side.note(note, last.id);
    await this.#noteRemovable(batch.rows);
  }

  /** A claim is a courtesy: rows that are on their way do not fail with it. */
  async #keepClaim(): Promise<void> {
    const { claims, log } = this.#parts;
    await claims.keep().catch((error: unknown) => log.debug({ error }, "cannot keep a claim"));
  }

  async #noteRemovable(rows: readonly NewRow[]): Promise<void> {
    await inSlices(rows, SLICE_ROWS, ({ id, name, deleted }) => {
      if (deleted) this.#removable.set(id, name);
    });
  }

  async #writeNote(note: SideNote, after: number): Promise<void> {
    const { writer, side } = this.#parts;
    side.note(note, await writer.writeNote(note, after));
  }

  /** Every end of a lease is told by a row, and a row that was not read yet makes the write a conflict. */
  async #assertLeases({ rows, leases, requiredLeases }: CommitBatch): Promise<void> {
    const { side } = this.#parts;
    const given = new Set(leases.map(({ id }) => id));
    const named = rows.filter(({ lease }) => lease !== 0n && !given.has(lease)).map(({ lease }) => lease);
    const findUnknown = () => [...named, ...requiredLeases].find((id) => !side.has(id));
    if (findUnknown() === undefined) return;
    await side.fresh();
    const unknown = findUnknown();
    if (unknown === undefined) return;
    throw new DriverError("conflict", `Cannot write batch: there is no lease ${unknown.toString(16)} any more`);
  }

  async #position(): Promise<Position> {
    const { messages, side } = this.#parts;
    const [lastRow] = await Promise.all([messages.lastSequence(), side.readCompacted()]);
    return { lastRow, compactRevision: this.#compactRevision };
  }

  #changes(after: number, limit: number): Promise<Changes> {
    return this.#reads.run(async () => {
      const changes = await this.#reader.changes(after, limit);
      const { completeFrom = 0 } = changes;
      if (completeFrom > 0) await this.#parts.side.dropForgotten(completeFrom);
      this.#floor = Math.max(this.#floor, completeFrom);
      return changes;
    });
  }

  async #leases(): Promise<readonly LeaseRecord[]> {
    const { side } = this.#parts;
    await side.fresh();
    return side.leases();
  }

  #claim(): Promise<Claim> {
    return this.#parts.claims.claim();
  }

  #learn({ head, note, removes }: SettledRow): void {
    if (note !== undefined) this.#parts.side.note(note, head.id);
    if (removes !== "") this.#removable.set(head.id, removes);
  }

  #hear(message: StoredMessage): void {
    this.#tail?.add(message);
    const row = parseRowHeader(message.header(ROW_HEADER));
    // The end of a lease takes an id that the store does not know of, also when it is ours.
    if (row?.writer !== this.#parts.owner || row.kind === "n") this.#listener();
  }
}

async function* headsOf(rows: AsyncIterable<SettledRow>): AsyncGenerator<RowHead> {
  for await (const { head } of rows) yield head;
}
