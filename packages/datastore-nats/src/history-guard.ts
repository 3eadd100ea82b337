import { sleep } from "@k3s/async";
import type { NatsLink } from "./nats-link.ts";
import { streamOf } from "./bucket-config.ts";

/** Names of consumers by which our servers follow the bucket begin so, then who it is. */
const NAME_PREFIX = "k3s-follow-";
/** How long a server that does not read on holds writes of one key up. */
const PATIENCE_MS = 1000;
const LOOK_MS = 2;
/** How long one question for a position may take: the node of NATS that knows it may be gone. */
const ANSWER_MS = 500;
/** For how long it is not asked for again after it was waited for in vain. */
const MUTED_MS = 10_000;
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
  /** Consumers that were waited for in vain, with the time until which they are passed over. */
  readonly #muted = new Map<string, number>();
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
        for (const [name, position] of positions) if (position < row) this.#mute(name);
        this.#learn([]);
        return;
      }
      await sleep(LOOK_MS);
    }
  }

  /** Positions of the others, as far as they are to be had. */
  async #ask(): Promise<ReadonlyMap<string, number>> {
    const positions = new Map<string, number>();
    const ask = async (name: string) => {
      try {
        positions.set(name, await this.#positionOf(name));
      } catch {
        this.#mute(name); // it was forgotten meanwhile, or the node that knows is gone
      }
    };
    const others = await this.#others().catch(() => []); // a cluster that elects its leader: the writes will tell
    await Promise.all(others.map(ask));
    this.#learn([...positions.values()]);
    return positions;
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

  async #positionOf(name: string): Promise<number> {
    const { delivered } = await this.#request(`INFO.${streamOf(this.#options.bucket)}.${name}`);
    if (typeof delivered === "object" && delivered !== null && "stream_seq" in delivered)
      return Number(delivered.stream_seq);
    throw new Error(`Cannot ask for consumer "${name}": it is gone`);
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
