import { sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import type { Dialect, SqlSession } from "./dialect.ts";
import { holesIn, idsOf, sizeOf } from "./holes.ts";

/** A row of kine that got its id before the next one is usually visible within this time. Longer waits let its writer fail. */
const GRACE_MS = 25;
/** More missing ids than this are a jump of the sequence, not rows on their way: nobody fills them. */
const FILL_MAX = 5000;
/** What kine waits before it takes a missing id for lost. */
const JUMP_WAIT_MS = 1000;

type Read<Session> = <T>(what: string, task: (session: Session) => Promise<T>) => Promise<T>;

interface HoleSettlerParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly read: Read<Session>;
  /** Whether a claim keeps everybody back: nothing is on its way then, and `read` goes through the claim. */
  readonly isAlone: () => boolean;
  readonly log: Logger;
}

/**
 * Knows up to which id the table is settled: every id is there, or can never appear. Ids that kine took and did not (yet) use are
 * holes; what compaction removed is none, and lies below its marker.
 */
export class HoleSettler<Session extends SqlSession> {
  readonly #parts: HoleSettlerParts<Session>;
  #settledUpTo = 0;

  constructor(parts: HoleSettlerParts<Session>) {
    this.#parts = parts;
  }

  /** Settles everything up to the last of `ids`, which are all rows that were read after `after`. True: there may be more rows now. */
  async settle(after: number, ids: readonly number[]): Promise<boolean> {
    const last = ids.at(-1);
    if (last === undefined) return false;
    let holes = this.#holes(after, ids);
    if (holes.length > 0) {
      await this.#learn(last);
      holes = this.#holes(after, ids);
    }
    const isChanged = holes.length > 0 && (await this.#fill(holes));
    this.#settledUpTo = Math.max(this.#settledUpTo, last);
    return isChanged;
  }

  #holes(after: number, ids: readonly number[]): ReturnType<typeof holesIn> {
    return holesIn(Math.max(after, this.#settledUpTo), ids);
  }

  /** Below the marker, rows are missing because they were removed. A table without marker is new, or nobody's. */
  async #learn(last: number): Promise<void> {
    const { dialect, read } = this.#parts;
    const what = "Reading the compaction marker";
    const { compactRevision } = await read(what, (session) => dialect.position(session));
    const isMarked = compactRevision > 0 || (await read(what, (session) => dialect.hasMarker(session)));
    this.#settledUpTo = Math.max(this.#settledUpTo, isMarked ? compactRevision : last);
  }

  async #fill(holes: ReturnType<typeof holesIn>): Promise<true> {
    const { dialect, read, isAlone, log } = this.#parts;
    if (sizeOf(holes) > FILL_MAX) {
      log.warn({ ids: sizeOf(holes), from: holes[0]?.first }, "the ids of the table jumped");
      await sleep(JUMP_WAIT_MS);
      return true;
    }
    let missing = idsOf(holes);
    for (let waitedMs = isAlone() ? GRACE_MS : 0, delayMs = 1; waitedMs < GRACE_MS; waitedMs += delayMs, delayMs *= 2) {
      await sleep(delayMs);
      const ids = missing;
      const present = new Set(await read("Looking for missing rows", (session) => dialect.present(session, ids)));
      missing = missing.filter((id) => !present.has(id));
      if (missing.length === 0) return true;
    }
    await read("Settling missing rows", (session) => dialect.fillGaps(session, missing));
    log.debug({ ids: missing.length, from: missing[0] }, "settled ids that were never used");
    return true;
  }
}
