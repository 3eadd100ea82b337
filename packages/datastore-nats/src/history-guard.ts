import { sleep } from "@k3s/async";
import type { NatsLink } from "./nats-link.ts";
import { streamOf } from "./bucket-config.ts";
import { inSlices } from "./in-slices.ts";

/** Names of consumers by which our servers follow the bucket begin so, then who it is. */
const NAME_PREFIX = "k3s-follow-";
/** How long a server that does not read on holds writes of one key up, counted in looks at it: time in which we could not look is ours. */
const PATIENCE_MS = 2000;
/** However slowly it reads on. */
const PATIENCE_MAX_MS = 10_000;
const LOOK_MS = 2;
/** How long one question for a position may take: the node of NATS that knows it may be gone. */
const ANSWER_MS = 500;
/** For how long it is not asked for again after it was waited for in vain. */
const MUTED_MS = 10_000;
/** JetStream's number for a consumer that it does not have. */
const NOT_FOUND = 10_014;
/** The server that knows a position does not answer. */
const UNKNOWN = -1;
/** Names that are remembered until it is known how far the others have read. */
const MAX_NAMES = 1000;
/** Rows looked at in one turn of the event loop: a few milliseconds. */
const SLICE_ROWS = 5000;

interface HistoryGuardOptions {
  readonly link: NatsLink;
  readonly bucket: string;
  /** Messages that the bucket keeps of each key; not above 0: all. */
  readonly history: number;
  /** Tells our own consumer. */
  readonly owner: string;
}

interface NamedRow {
  readonly id: number;
  readonly name: string;
}

/** The prefix of the consumer's name by which `owner` follows. */
export function followerPrefix(owner: string): string {
  return `${NAME_PREFIX}${owner}`;
}

/**
 * Keeps a key that is written fast from losing rows that other servers have not read yet: of each key the bucket keeps only the newest
 * ones. Before a row goes that is younger than the last look, it asks how far the others are. A server that does not read at all is not
 * waited for; it learns from the hole that it has missed something.
 */
export class HistoryGuard {
  readonly #options: HistoryGuardOptions;
  /** Newest rows by name, as far as others may not have read them. */
  readonly #recent = new Map<string, number[]>();
  /** Consumers that were waited for in vain, with the time until which they are passed over. */
  readonly #muted = new Map<string, number>();
  #last = 0;
  /** The newest row whose name was one too many: a name that is not known may be its. */
  #unnamed = 0;
  /** All others have read up to here. */
  #delivered = 0;

  constructor(options: HistoryGuardOptions) {
    this.#options = options;
  }

  /**
   * The row that others have to read before the rows of a batch are begun; 0: none. After {@link waitFor} it is only the batch itself that
   * can stand in its own way: by a key that it writes more often than the bucket keeps, or by more names than are remembered.
   */
  blockerOf(rows: readonly NamedRow[]): number {
    const { history } = this.#options;
    if (history <= 0) return 0;
    if (rows.length > MAX_NAMES) return this.#unread(this.#last);
    const writes = new Map<string, number>();
    for (const { name } of rows) writes.set(name, (writes.get(name) ?? 0) + 1);
    const added = [...writes.keys()].filter((name) => !this.#recent.has(name)).length;
    if (added > 0 && this.#recent.size + added > MAX_NAMES) return this.#unread(this.#last);
    const dropped = [...writes].map(([name, count]) => this.#droppedBy(name, count));
    return this.#unread(dropped.reduce((newest, row) => Math.max(newest, row), 0));
  }

  /**
   * Takes rows that are written next and without a wait in between: those of one transaction, or a row of its own. 0: they can be written.
   * Else none is taken, before {@link waitFor} the row that it gives. Nothing else may be asked of the guard meanwhile.
   */
  async admit(rows: readonly NamedRow[]): Promise<number> {
    if (this.#options.history <= 0) return 0;
    let newest = 0;
    await inSlices(rows, SLICE_ROWS, ({ name }) => {
      newest = Math.max(newest, this.#droppedBy(name));
    });
    const blocker = this.#unread(newest);
    if (blocker === 0) await inSlices(rows, SLICE_ROWS, (row) => this.#remember(row));
    return blocker;
  }

  /** Of the rows that were taken, those from this id on have not been written. */
  withdraw(from: number): void {
    this.#last = Math.min(this.#last, from - 1);
    this.#unnamed = Math.min(this.#unnamed, this.#last);
    for (const [name, rows] of this.#recent) {
      if ((rows.at(-1) ?? 0) < from) continue;
      const written = rows.filter((id) => id < from);
      if (written.length > 0) this.#recent.set(name, written);
      else this.#recent.delete(name);
    }
  }

  /** The newest row that may go when the name is written that often. */
  #droppedBy(name: string, count = 1): number {
    const recent = this.#recent.get(name);
    if (recent === undefined) return this.#unnamed;
    const dropped = Math.min(recent.length + count - this.#options.history, recent.length);
    return recent[dropped - 1] ?? 0;
  }

  #remember({ id, name }: NamedRow): void {
    this.#last = id;
    const recent = this.#recent.get(name);
    if (recent === undefined && this.#recent.size >= MAX_NAMES) this.#unnamed = id;
    else this.#recent.set(name, [...(recent ?? []), id].slice(-this.#options.history));
  }

  /** The row if not all have read it, else 0. */
  #unread(row: number): number {
    return row > this.#delivered ? row : 0;
  }

  /** Resolves once the others have read the row, or do not get on. `meanwhile` is called with every look; it does not reject. */
  async waitFor(row: number, meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const patience = new Patience();
    for (let positions = await this.#ask(); ; positions = await this.#ask()) {
      const known = [...(positions ?? [])].filter(([, position]) => position !== UNKNOWN);
      if (positions !== undefined && known.length === positions.size) this.#learn([...positions.values()]);
      if (this.#delivered >= row) return;
      if (patience.isOver(known.reduce((sum, [, position]) => sum + position, 0))) {
        for (const [name, position] of positions ?? []) if (position < row) this.#mute(name);
        this.#learn([]);
        return;
      }
      await Promise.all([meanwhile(), sleep(LOOK_MS)]);
    }
  }

  /** Positions of the others; undefined: there is no answer now. */
  async #ask(): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      const others = await this.#others();
      const positions = await Promise.all(others.map((name) => this.#positionOf(name).catch(() => UNKNOWN)));
      const asked = others.map((name, i) => [name, positions[i]] as const);
      return new Map(asked.filter((entry): entry is [string, number] => entry[1] !== undefined));
    } catch {
      return undefined; // a cluster that elects its leader, or a busy server
    }
  }

  /** Names of the other servers' consumers. */
  async #others(): Promise<readonly string[]> {
    const { bucket, owner } = this.#options;
    const answer = await this.#request(`NAMES.${streamOf(bucket)}`);
    const names = Array.isArray(answer["consumers"]) ? answer["consumers"].map(String) : [];
    const now = performance.now();
    return names.filter((name) => {
      const isOther = name.startsWith(NAME_PREFIX) && !name.startsWith(followerPrefix(owner));
      return isOther && (this.#muted.get(name) ?? 0) < now;
    });
  }

  /** undefined: it is gone. */
  async #positionOf(name: string): Promise<number | undefined> {
    const { delivered, error } = await this.#request(`INFO.${streamOf(this.#options.bucket)}.${name}`);
    if (typeof delivered === "object" && delivered !== null && "stream_seq" in delivered)
      return Number(delivered.stream_seq);
    const isGone = typeof error === "object" && error !== null && "err_code" in error && error.err_code === NOT_FOUND;
    return isGone ? undefined : UNKNOWN;
  }

  async #request(question: string): Promise<Readonly<Record<string, unknown>>> {
    const { connection } = this.#options.link;
    const answer = await connection.request(`$JS.API.CONSUMER.${question}`, "", { timeout: ANSWER_MS });
    return answer.json<Record<string, unknown>>();
  }

  #mute(name: string): void {
    const now = performance.now();
    for (const [other, untilMs] of this.#muted) if (untilMs < now) this.#muted.delete(other);
    this.#muted.set(name, now + MUTED_MS);
  }

  #learn(positions: readonly number[]): void {
    this.#delivered = Math.min(this.#last, ...positions);
    for (const [name, rows] of this.#recent) if ((rows.at(-1) ?? 0) <= this.#delivered) this.#recent.delete(name);
  }
}

/** For how long to wait for others: as long as they get on, within limits. */
class Patience {
  #lookedAtMs = performance.now();
  #idleMs = 0;
  #waitedMs = 0;
  #progress = 0;

  /** `progress` grows with whatever the others have read. */
  isOver(progress: number): boolean {
    const now = performance.now();
    const passedMs = Math.min(now - this.#lookedAtMs, ANSWER_MS);
    this.#lookedAtMs = now;
    this.#waitedMs += passedMs;
    this.#idleMs = progress > this.#progress ? 0 : this.#idleMs + passedMs;
    this.#progress = Math.max(progress, this.#progress);
    return this.#idleMs > PATIENCE_MS || this.#waitedMs > PATIENCE_MAX_MS;
  }
}
