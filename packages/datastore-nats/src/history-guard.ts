import { sleep } from "@k3s/async";
import type { NatsLink } from "./nats-link.ts";
import { streamOf } from "./bucket-config.ts";

/** Names of consumers by which our servers follow the bucket begin so, then who it is. */
const NAME_PREFIX = "k3s-follow-";
/** How long a server that does not read on holds writes of one key up. */
const PATIENCE_MS = 1000;
const LOOK_MS = 2;
/** Names that are remembered until it is known how far the others have read. */
const MAX_NAMES = 1000;

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
  /** Consumers that were waited for in vain, with where they stood. */
  readonly #slow = new Map<string, number>();
  #last = 0;
  /** All others have read up to here. */
  #delivered = 0;

  constructor(options: HistoryGuardOptions) {
    this.#options = options;
  }

  /** How many of the rows can be written now. The others after {@link waitFor} the row that stands in the way. */
  admit(rows: readonly NamedRow[]): { readonly count: number; readonly blockedBy: number } {
    const { history } = this.#options;
    if (history <= 0) return { count: rows.length, blockedBy: 0 };
    for (const [count, { id, name }] of rows.entries()) {
      const recent = this.#recent.get(name) ?? [];
      const dropped = recent.length >= history ? (recent[0] ?? 0) : 0;
      if (dropped > this.#delivered) return { count, blockedBy: dropped };
      if (recent.length === 0 && this.#recent.size >= MAX_NAMES) return { count, blockedBy: this.#last };
      this.#recent.set(name, [...recent.slice(recent.length >= history ? 1 : 0), id]);
      this.#last = id;
    }
    return { count: rows.length, blockedBy: 0 };
  }

  /** Resolves once the others have read the row, or do not get on. */
  async waitFor(row: number): Promise<void> {
    const deadlineMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const positions = await this.#ask();
      if (this.#delivered >= row) return;
      if (performance.now() > deadlineMs) {
        for (const [name, position] of positions) if (position < row) this.#slow.set(name, position);
        this.#learn(positions);
        return;
      }
      await sleep(LOOK_MS);
    }
  }

  /** Positions of the others. */
  async #ask(): Promise<ReadonlyMap<string, number>> {
    const { link, bucket, owner } = this.#options;
    const own = followerPrefix(owner);
    const positions = await link.run("ask for other servers", async () => {
      const found = new Map<string, number>();
      for await (const { name, delivered } of link.manager.consumers.list(streamOf(bucket)))
        if (name.startsWith(NAME_PREFIX) && !name.startsWith(own)) found.set(name, delivered.stream_seq);
      return found;
    });
    this.#learn(positions);
    return positions;
  }

  /** One that was too slow counts again once it reads on. */
  #learn(positions: ReadonlyMap<string, number>): void {
    for (const [name, position] of this.#slow) if (positions.get(name) !== position) this.#slow.delete(name);
    const counted = [...positions].filter(([name]) => !this.#slow.has(name)).map(([, position]) => position);
    this.#delivered = Math.min(this.#last, ...counted);
    for (const [name, rows] of this.#recent) if ((rows.at(-1) ?? 0) <= this.#delivered) this.#recent.delete(name);
  }
}
