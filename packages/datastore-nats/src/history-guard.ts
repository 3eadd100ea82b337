import { sleep } from "@k3s/async";
import type { NatsLink } from "./nats-link.ts";
import { streamOf } from "./bucket-config.ts";

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
      await sleep(LOOK_MS);
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
