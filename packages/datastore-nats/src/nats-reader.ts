import {
  MARKER_NAME,
  type DatabaseReader,
  type DatabaseSize,
  type LeaseId,
  type RowHead,
  type RowSpan,
  type SideState,
} from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Bucket } from "./bucket.ts";
import { HistoryFloor } from "./history-floor.ts";
import type { NatsLink } from "./nats-link.ts";
import type { SettledRow, VoidRow } from "./row-assembler.ts";
import type { RowMessages } from "./row-message.ts";
import { RowReader } from "./row-reader.ts";
import { readValues } from "./row-values.ts";
import type { SideBucket } from "./side-bucket.ts";
import type { SpanRepair } from "./span-repair.ts";

interface NatsReaderParts {
  readonly link: NatsLink;
  readonly log: Logger;
  readonly messages: Bucket;
  /** Undefined with the one beside it: only kine has used the bucket. */
  readonly sideMessages: Bucket | undefined;
  readonly side: SideBucket | undefined;
  readonly codec: RowMessages;
  readonly repair: SpanRepair;
  /** Messages that the bucket keeps of each key; not above 0: all. */
  readonly history: number;
}

/** What one reading of all rows tells. */
interface Overview {
  readonly heads: readonly RowHead[];
  readonly seen: SeenRows;
  readonly voids: readonly VoidRow[];
}

/**
 * The rows of a bucket, for whoever only reads. The first question reads all of them, because rows tell of leases and of lost history, and
 * so does every second one for the first heads: what is told in between is of one reading, as the history drops rows meanwhile.
 */
export class NatsReader implements DatabaseReader {
  readonly #parts: NatsReaderParts;
  #overview: Promise<Overview> | undefined;
  #isTold = false;

  constructor(parts: NatsReaderParts) {
    this.#parts = parts;
  }

  async heads(after: number, limit: number): Promise<readonly RowHead[]> {
    if (after === 0 && this.#isTold) this.#overview = undefined;
    const { heads } = await this.#look();
    this.#isTold = true;
    const start = heads.findIndex(({ id }) => id > after);
    return start < 0 ? [] : heads.slice(start, start + limit);
  }

  async side(): Promise<SideState> {
    const { leases, spans } = (await this.#look()).seen;
    const { side } = this.#parts;
    return {
      leases: side?.leases() ?? [],
      rowLeases: new Map([...leases, ...(side?.rowLeases ?? [])]),
      spans: [...spans.values()],
    };
  }

  values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    return readValues(this.#parts.messages, rows);
  }

  async size(): Promise<DatabaseSize> {
    const { messages, sideMessages } = this.#parts;
    const bytes = (await messages.bytes()) + ((await sideMessages?.bytes()) ?? 0);
    return { totalBytes: bytes, inUseBytes: bytes };
  }

  async findings(): Promise<readonly string[]> {
    const { voids } = await this.#look();
    if (voids.length === 0) return [];
    return [
      `${voids.length} keys have a write of a server that ended in the middle of a transaction; a server takes it back when it starts`,
    ];
  }

  async close(): Promise<void> {
    await this.#parts.link.close();
  }

  async #look(): Promise<Overview> {
    this.#overview ??= this.#readOverview();
    const reading = this.#overview;
    try {
      return await reading;
    } catch (error) {
      if (this.#overview === reading) this.#overview = undefined; // the next question reads again
      throw error;
    }
  }

  async #readOverview(): Promise<Overview> {
    const { side, history } = this.#parts;
    await side?.load();
    const compacted = side?.compactRevision ?? 0;
    const floor = new HistoryFloor({ history, compactRevision: compacted });
    const seen = new SeenRows(side);
    const reader = this.#newReader();
    const heads: RowHead[] = [];
    for await (const row of reader.heads(0)) {
      floor.add(row);
      seen.add(row);
      heads.push(row.head);
    }
    await side?.load(); // of the leases that rows name, the newest were granted meanwhile
    // What was compacted, and what the history dropped. Kine's marker row cannot be changed: what it would say is kept beside the rows.
    const prevRevision = Math.max(compacted, floor.revision);
    const told = heads.map((head) => (head.name === MARKER_NAME ? { ...head, prevRevision } : head));
    return { heads: told, seen, voids: reader.voids };
  }

  #newReader(): RowReader {
    const { messages, codec, repair, log } = this.#parts;
    const parts = { messages, codec, repair, log };
    return new RowReader({ ...parts, tail: () => undefined, onRow: () => undefined, isReadOnly: true });
  }
}

/** What rows tell beside their keys. */
class SeenRows {
  readonly #side: SideBucket | undefined;
  readonly leases = new Map<number, LeaseId>();
  /** By their last row. */
  readonly spans = new Map<number, RowSpan>();

  constructor(side: SideBucket | undefined) {
    this.#side = side;
  }

  add({ head: { id }, lease, span, note }: SettledRow): void {
    if (lease !== 0n) this.leases.set(id, lease);
    if (span !== undefined) this.spans.set(span.last, span);
    if (note !== undefined) this.#side?.note(note, id);
  }
}
