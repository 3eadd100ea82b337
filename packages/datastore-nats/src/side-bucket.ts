import { deadline, Latest } from "@k3s/async";
import { DriverError, ENDING_MS, type DueLease, type LeaseId, type LeaseRecord } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Bucket } from "./bucket.ts";
import { Follower } from "./follower.ts";
import { followerPrefix } from "./history-guard.ts";
import { formatLease, parseLease } from "./lease-hex.ts";
import { REQUEST_MS, type NatsLink } from "./nats-link.ts";
import type { SideNote, StoredMessage } from "./row-record.ts";

/** A lease as it is stored. */
interface Stored {
  readonly record: LeaseRecord;
  /** The last row when it was granted or renewed: an end told by a later row ends it. */
  readonly after: number;
  /** 0: known from the note of a row only. */
  readonly seq: number;
}

interface SideBucketOptions {
  readonly link: NatsLink;
  readonly log: Logger;
  readonly bucket: string;
  readonly messages: Bucket;
  /** Tells us from other servers. */
  readonly owner: string;
}

const LEASE = /^lease\.([0-9a-f]{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16})$/;
const LEASE_KEY = /^lease\.([0-9a-f]{1,16})$/;
const ROW_LEASE = /^row\.(\d{1,16}) ([0-9a-f]{1,16})$/;
/** Requests under way at a time. */
const MAX_REQUESTS = 256;
/** Ends that are remembered, so that a renewal that was under way does not bring a lease back. */
const MAX_ENDS = 10_000;

/**
 * What kine has no place for, in a bucket of its own beside kine's, one key each, in plain text:
 *
 *   lease.<hex>  "<ttl s> <end ms> <after row>"      row.<id>  "<lease hex>"      compacted  "<revision>"      claim  see Claims
 *   newest  ""  so that an older entry can go
 *
 * It is held in memory and followed. What a row tells in its note is in force with the row, before or without an entry here.
 */
export class SideBucket {
  readonly #options: SideBucketOptions;
  readonly #prefix: string;
  readonly #leases = new Map<LeaseId, Stored>();
  readonly #ends = new Map<LeaseId, number>();
  /** Sequences of the leases' entries, also of those that have ended. */
  readonly #entries = new Map<LeaseId, number>();
  /** Leases that have ended and may still have an entry. */
  readonly #forgettable = new Set<LeaseId>();
  #forgetting: Promise<void> | undefined;
  #newest = 0;
  readonly #rowLeases = new Map<number, LeaseId>();
  readonly #seen = new Latest(0);
  #compacted = { revision: 0, seq: 0 };
  #follower: Follower | undefined;
  #onClaim: (message: StoredMessage) => void = () => undefined;

  constructor(options: SideBucketOptions) {
    this.#options = options;
    this.#prefix = `$KV.${options.bucket}.`;
  }

  /** Reads everything and follows from there on. Once. */
  async open(onClaim: (message: StoredMessage) => void): Promise<void> {
    const { link, log, bucket, owner } = this.#options;
    this.#onClaim = onClaim;
    const last = await this.load();
    this.#follower = new Follower({
      ...{ link, log, bucket, namePrefix: followerPrefix(owner) },
      from: last + 1,
      onMessage: (message) => this.#apply(message),
    });
  }

  /** Reads everything, up to the sequence it resolves with. */
  async load(): Promise<number> {
    const { messages } = this.#options;
    const last = await messages.lastSequence();
    for await (const message of messages.replay({ from: 1, to: last, headersOnly: false })) this.#apply(message);
    this.#seen.set(Math.max(last, this.#seen.get()));
    return last;
  }

  get claimSubject(): string {
    return `${this.#prefix}claim`;
  }

  get compactRevision(): number {
    return this.#compacted.revision;
  }

  get rowLeases(): ReadonlyMap<number, LeaseId> {
    return this.#rowLeases;
  }

  leases(): LeaseRecord[] {
    return [...this.#leases.values()].map(({ record }) => record);
  }

  has(lease: LeaseId): boolean {
    return this.#leases.has(lease);
  }

  /** Resolves once all that others wrote before the call is known here. */
  async fresh(): Promise<void> {
    const last = await this.#options.messages.lastSequence();
    using limit = deadline(REQUEST_MS, "Following the bucket of leases");
    try {
      await this.#seen.until((seen) => seen >= last, limit);
    } catch (error) {
      throw new DriverError("failed", "Cannot read leases: NATS does not deliver them", { cause: error });
    }
  }

  /** What a row tells: in force from that row on. */
  note({ leases, endedLeases }: SideNote, row: number): void {
    for (const id of endedLeases) {
      this.#ends.delete(id);
      this.#ends.set(id, row);
      if (this.#entries.has(id)) this.#forgettable.add(id);
      if ((this.#leases.get(id)?.after ?? row) < row) this.#leases.delete(id);
    }
    for (const record of leases) this.#take({ record, after: row, seq: 0 });
    for (const id of this.#ends.keys()) {
      if (this.#ends.size <= MAX_ENDS) break;
      if (!this.#entries.has(id) || this.#leases.has(id)) this.#ends.delete(id);
    }
  }

  /** Resolves when the lease is stored. `lastRow`: the last row that the grant knows. */
  putLease(record: LeaseRecord, lastRow: number): Promise<void> {
    return this.#putLease(record, lastRow, undefined);
  }

  /** The same for a lease that every server names alike: who finds an entry leaves it as it is. */
  async offerLease(record: LeaseRecord, lastRow: number): Promise<void> {
    try {
      await this.#putLease(record, lastRow, this.#entryOf(record.id));
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }

  /** The same for a lease that is there. A conflict when somebody else has renewed it or begun to end it. */
  async renewLease(record: LeaseRecord, lastRow: number): Promise<void> {
    const { id } = record;
    if (this.#leases.get(id)?.record.expiresAtMs === ENDING_MS)
      throw new DriverError("conflict", `Cannot renew lease ${id.toString(16)}: it has run out`);
    await this.#putLease(record, lastRow, this.#entryOf(id));
  }

  /**
   * Before the row that tells of the end of a lease which has run out: nobody can renew it any more. It is stored as due since ever, so that
   * whoever finds it ends it, should the row not come. A conflict when it was renewed.
   */
  async beginEnd({ id, expiresAtMs }: DueLease): Promise<void> {
    const known = this.#leases.get(id);
    if (known?.record.expiresAtMs === ENDING_MS) return;
    if (known?.record.expiresAtMs !== expiresAtMs)
      throw new DriverError("conflict", `Cannot end lease ${id.toString(16)}: somebody has renewed it`);
    await this.#putLease({ ...known.record, expiresAtMs: ENDING_MS }, known.after, this.#entryOf(id));
  }

  /** Sequence of the entry that a conditional write replaces; 0: none. */
  #entryOf(id: LeaseId): number {
    return this.#entries.get(id) ?? 0;
  }

  async #putLease(record: LeaseRecord, lastRow: number, replaced: number | undefined): Promise<void> {
    const { id, ttlSeconds, expiresAtMs } = record;
    const after = Math.max(lastRow, this.#leases.get(id)?.after ?? 0); // it may be renewed here before its row is read
    const key = `lease.${formatLease(id)}`;
    try {
      const seq = await this.#put(key, `${ttlSeconds} ${expiresAtMs} ${after}`, replaced);
      this.#noteEntry(id, seq);
      this.#take({ record, after, seq });
    } catch (error) {
      if (isConflict(error)) await this.#readEntry(id, this.#prefix + key);
      throw error;
    }
  }

  /** Who follows the bucket does not hear of an entry that a tool or a limit removed: without this it would be expected for ever. */
  async #readEntry(id: LeaseId, subject: string): Promise<void> {
    const message = await this.#options.messages.newestOf(subject);
    if (message === undefined) {
      this.#entries.delete(id);
      return;
    }
    this.#apply(message);
    this.#entries.set(id, message.seq); // whatever it says
  }

  async putRowLease(row: number, lease: LeaseId): Promise<void> {
    await this.#put(`row.${row}`, formatLease(lease));
    this.#rowLeases.set(row, lease);
  }

  /** Moves the compacted revision forward only, whoever else moves it. */
  async putCompacted(revision: number): Promise<void> {
    for (;;) {
      const { revision: known, seq } = this.#compacted;
      if (known >= revision) return;
      try {
        this.#learnCompacted(revision, await this.#put("compacted", String(revision), seq));
      } catch (error) {
        if (!isConflict(error)) throw error;
        await this.readCompacted();
        if (this.#compacted.seq === seq) throw error;
      }
    }
  }

  /** Asks the server for the compacted revision. */
  async readCompacted(): Promise<number> {
    const message = await this.#options.messages.newestOf(`${this.#prefix}compacted`);
    if (message !== undefined) this.#apply(message);
    return this.#compacted.revision;
  }

  /**
   * Removes the entries of leases that rows have told the end of, also of those that came late from a renewal. Before any such row is
   * removed, or dropped for a newer one: an entry without it is a lease again for whoever starts next. So it resolves when none is left, not
   * even one whose removal another call has begun; where that fails, it is tried again here.
   */
  async forgetEnded(): Promise<void> {
    while (this.#forgettable.size > 0) {
      const begun = this.#forgetting;
      if (begun !== undefined) await begun.catch(() => undefined);
      else await (this.#forgetting = this.#forget().finally(() => (this.#forgetting = undefined)));
    }
  }

  async #forget(): Promise<void> {
    const some = [...this.#forgettable].slice(0, MAX_REQUESTS);
    const results = await Promise.allSettled(some.map((id) => this.#forgetOne(id)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #forgetOne(id: LeaseId): Promise<void> {
    const seq = this.#entries.get(id);
    if (seq !== undefined && this.#ends.has(id) && !this.#leases.has(id)) {
      await this.#remove(`lease.${formatLease(id)}`, seq);
      if (this.#entries.get(id) !== seq) return; // an entry came meanwhile, which is next
      this.#entries.delete(id);
    }
    this.#forgettable.delete(id); // only now: who finds none to forget goes on
  }

  /**
   * After rows were dropped unread, and with them the ends of leases that they told: a lease whose entry is gone has ended, before the row
   * `upTo`. Of one that has had no entry yet this says nothing.
   */
  async dropForgotten(upTo: number): Promise<void> {
    const { messages } = this.#options;
    const last = await messages.lastSequence();
    const present = new Set<LeaseId>();
    for await (const { subject } of messages.replay({ from: 1, to: last, headersOnly: true })) {
      const [, hex] = LEASE_KEY.exec(subject.slice(this.#prefix.length)) ?? [];
      if (hex !== undefined) present.add(parseLease(hex));
    }
    await this.fresh(); // a renewal takes the place of the entry before it
    for (const [id, { seq }] of this.#leases) {
      if (seq === 0 || seq > last || present.has(id)) continue;
      this.#leases.delete(id);
      this.#entries.delete(id);
      this.#ends.set(id, upTo);
    }
  }

  /** Removes the entries of rows that are gone. What stays is superfluous, not wrong. */
  async forgetRows(rows: readonly number[]): Promise<void> {
    for (const row of rows) if (this.#rowLeases.delete(row)) await this.#remove(`row.${row}`, this.#newest - 1);
  }

  /** The newest message stays: from it NATS knows the next sequence. */
  async #remove(key: string, upTo: number): Promise<void> {
    if (upTo >= this.#newest) await this.#put("newest", "");
    await this.#options.messages.remove(this.#prefix + key, upTo);
  }

  async close(): Promise<void> {
    await this.#follower?.close();
  }

  async #put(key: string, text: string, lastSubjectSequence?: number): Promise<number> {
    const message = { subject: this.#prefix + key, headers: [], data: Buffer.from(text) };
    const expect = lastSubjectSequence === undefined ? {} : { expect: { lastSubjectSequence } };
    const seq = await this.#options.messages.publish(message, expect);
    this.#newest = Math.max(this.#newest, seq);
    return seq;
  }

  #noteEntry(id: LeaseId, seq: number): void {
    this.#entries.set(id, Math.max(seq, this.#entries.get(id) ?? 0));
    if (this.#ends.has(id)) this.#forgettable.add(id);
  }

  #apply(message: StoredMessage): void {
    const key = message.subject.slice(this.#prefix.length);
    this.#newest = Math.max(this.#newest, message.seq);
    if (key === "claim") this.#onClaim(message);
    else this.#applyText(key, Buffer.from(message.data ?? []).toString("utf8"), message.seq);
    this.#seen.set(Math.max(message.seq, this.#seen.get()));
  }

  /** What is none of these entries is somebody else's. */
  #applyText(key: string, text: string, seq: number): void {
    const [, lease, ttl, end, after] = LEASE.exec(`${key} ${text}`) ?? [];
    const [, row, rowLease] = ROW_LEASE.exec(`${key} ${text}`) ?? [];
    if (lease !== undefined) {
      const record = { id: parseLease(lease), ttlSeconds: Number(ttl), expiresAtMs: Number(end) };
      this.#noteEntry(record.id, seq);
      this.#take({ record, after: Number(after), seq });
    } else if (row !== undefined) this.#rowLeases.set(Number(row), parseLease(rowLease ?? "0"));
    else if (key === "compacted" && /^\d{1,16}$/.test(text)) this.#learnCompacted(Number(text), seq);
  }

  #take(incoming: Stored): void {
    const { id } = incoming.record;
    const known = this.#leases.get(id);
    if ((this.#ends.get(id) ?? 0) > incoming.after) return;
    if (known === undefined || isNewer(incoming, known)) this.#leases.set(id, incoming);
  }

  #learnCompacted(revision: number, seq: number): void {
    if (seq > this.#compacted.seq) this.#compacted = { revision, seq };
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof DriverError && error.kind === "conflict";
}

/** By sequence. A note has none: it counts only until the entry that follows it is there. */
function isNewer(a: Stored, b: Stored): boolean {
  if (a.seq > 0 && b.seq > 0) return a.seq > b.seq;
  return a.seq > 0 ? a.after >= b.after : a.after > b.after;
}
