import { sleep } from "@k3s/async";
import type { Changes, CommitBatch, Guests, Position } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { OtherUsers } from "./other-users.ts";
import { farther, OwnCommits } from "./own-commits.ts";
import type { SqliteReader } from "./sqlite-reader.ts";

/** How long a look at the locks of the file holds. Whoever opens a file needs longer for its first write. */
const LOOK_MS = 10;
/** For how long a guest that has gone still counts: what it wrote last has to be read. */
const STAYS_MS = 5000;
/** How often a file is looked at for a guest and for rows of one that has gone, and how often, while one is there, for its rows. */
const IDLE_MS = 250;
const POLL_MS = 20;
/** A network file system may fail to tell of locks. */
const LOCKS_UNKNOWN =
  "cannot look for other programs that have the datastore open: one is assumed to be there, and reads ask the file";

interface FileGuestsParts {
  readonly reading: Pick<SqliteReader, "heads" | "side" | "values" | "position">;
  readonly others: Pick<OtherUsers, "areThere">;
  readonly path: string;
  readonly log: Logger;
  /** A monotonic clock. Default: that of the process. */
  readonly nowMs?: () => number;
}

/**
 * A kine that has our file open as well, known by its lock. SQLite pushes nothing, and asking costs a read more than the read itself, so
 * no read asks while nobody is there. One that came, wrote and went between two looks is known by what it left, a quarter of a second later
 * at most, and as soon after we stood still ourselves.
 */
export class FileGuests implements Guests {
  readonly #parts: FileGuestsParts;
  readonly #nowMs: () => number;
  readonly #stop = new AbortController();
  readonly #following: Promise<void>;
  readonly #own = new OwnCommits();
  #lookedAt = -Infinity;
  #seenAt = -Infinity;
  #isBlind = false;
  #listener: () => void = () => undefined;
  #shown: (() => Position) | undefined;

  constructor(parts: FileGuestsParts) {
    this.#parts = parts;
    this.#nowMs = parts.nowMs ?? (() => performance.now());
    this.#following = this.#follow(this.#stop.signal);
  }

  areThere(): boolean {
    if (this.#stop.signal.aborted) return false;
    const now = this.#nowMs();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      if (this.#look()) this.#seenAt = now;
    }
    return now - this.#seenAt < STAYS_MS;
  }

  position(): Promise<Position> {
    return this.#parts.reading.position();
  }

  /** SQLite lets one write at a time: an id that is missing here will not come any more. */
  async changes(after: number, limit: number): Promise<Changes> {
    const { reading } = this.#parts;
    const page = await reading.heads(after, limit);
    const upTo = page.at(-1)?.id ?? after;
    // After the rows: a row that is visible has its span visible too, they are one transaction.
    const side = await reading.side();
    const spans = side.spans.filter(({ first, last }) => last > after && first <= upTo);
    const end = spans.at(-1)?.last ?? 0;
    const rest = end > upTo ? await reading.heads(upTo, end - upTo) : [];
    const heads = [...page, ...rest.filter(({ id }) => id <= end)];
    const values = await reading.values(heads.map(({ id }) => id));
    const rows = heads.map((head, i) => ({ ...head, lease: side.rowLeases.get(head.id) ?? 0n, value: values[i] }));
    return { rows, spans };
  }

  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  compare(shown: () => Position): void {
    this.#shown = shown;
  }

  /** Carries out a commit of ours, which is nobody's else. */
  ownCommit(batch: CommitBatch, commit: () => Promise<void>): Promise<void> {
    return this.#own.run(batch, commit);
  }

  /** Looks at the file no more. Before it is closed. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("The datastore file is closed"));
    await this.#following;
  }

  /** Whether a lock tells of somebody, or nobody can tell: then reads ask, which is always right. */
  #look(): boolean {
    const { others, path: file, log } = this.#parts;
    try {
      return others.areThere();
    } catch (error) {
      const cure = "repair the locks of the file system, or move the datastore to a local disk";
      if (!this.#isBlind) log.warn({ file, error, cure }, LOCKS_UNKNOWN);
      this.#isBlind = true;
      return true;
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.areThere() ? POLL_MS : IDLE_MS, signal).catch(() => undefined);
      if (this.areThere() || (await this.#wereThere(signal))) this.#listener();
    }
  }

  /** Whether somebody has written whom no look has met. A file that cannot be read now is asked again at the next look. */
  async #wereThere(signal: AbortSignal): Promise<boolean> {
    const shown = this.#shown;
    if (signal.aborted || shown === undefined) return false;
    const found = await this.position().catch(() => undefined);
    // Compared with what is known after the answer: a commit of ours may have begun meanwhile.
    if (signal.aborted || found === undefined || !isBeyond(found, farther(shown(), this.#own.reach()))) return false;
    this.#seenAt = this.#nowMs();
    return true;
  }
}

/** A marker beyond the last row compacts up to there. */
function isBeyond({ lastRow, compactRevision }: Position, known: Position): boolean {
  return lastRow > known.lastRow || Math.min(compactRevision, lastRow) > known.compactRevision;
}
