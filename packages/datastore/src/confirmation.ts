import { rowCount } from "./batch.ts";
import type { Entry } from "./commit-queue.ts";
import { DriverError, foreignRowsOf, type CommitBatch, type Driver } from "./driver.ts";
import type { Turn } from "./turn.ts";

interface ConfirmationParts {
  readonly driver: Pick<Driver, "shared" | "guests">;
  readonly turn: Turn;
  /** The commits under way, after which a claim is given back. */
  readonly busy: () => Promise<void> | undefined;
}

/** What plans found is true only if nobody else wrote or compacted before it. Rejects with a conflict where somebody did. */
export class Confirmation {
  readonly #parts: ConfirmationParts;

  constructor(parts: ConfirmationParts) {
    this.#parts = parts;
  }

  /** Of all that is committed as `batch`, before it is. */
  async ofAll(entries: readonly Entry[], batch: CommitBatch): Promise<void> {
    if (entries.every(({ draft }) => draft.isUnconditional)) return;
    const compacted = Math.min(...entries.map(({ compactRevision }) => compactRevision));
    await (isKeptBack(entries, batch) ? this.#ofQuiet(batch, compacted) : this.of(batch, compacted));
  }

  /** Of a batch that was planned while `compacted` was the compacted revision. With rows the commit itself finds out. */
  async of(batch: CommitBatch, compacted: number): Promise<void> {
    if (rowCount(batch) === 0) await this.#ofPosition(batch, compacted);
  }

  /** Others are kept back from this look to the commit. */
  async #ofQuiet(batch: CommitBatch, compacted: number): Promise<void> {
    const { driver, turn, busy } = this.#parts;
    if (driver.shared === undefined) return this.#ofPosition(batch, compacted);
    const wasClaimed = turn.isClaimed;
    await turn.take("servers"); // a claim that stands may have run out
    if (!turn.isClaimed) throw unclaimed(turn.failure);
    void turn.giveBack(busy);
    try {
      await this.#ofPosition(batch, compacted);
    } catch (error) {
      if (!wasClaimed) turn.usedUp(); // what it has met was there before the claim
      throw error;
    }
  }

  async #ofPosition({ after }: CommitBatch, compacted: number): Promise<void> {
    const position = await foreignRowsOf(this.#parts.driver)?.position();
    if (position === undefined) return;
    const { lastRow, compactRevision } = position;
    if (lastRow !== after)
      throw new DriverError("conflict", `Cannot answer: the last row is ${lastRow}, planned on ${after}`);
    if (compactRevision > compacted)
      throw new DriverError("conflict", `Cannot answer: another server compacted at ${compactRevision}`);
  }
}

/** What says more than that it is worth another try is told as it is, such as a full disk. */
function unclaimed(cause: unknown): Error {
  if (cause instanceof DriverError && cause.kind !== "failed") return cause;
  return new DriverError("conflict", "Cannot answer: compactions cannot be kept back", { cause });
}

/**
 * Whether the commit would not meet what others do before it: a compaction adds no row, neither for one that shows the past nor for another
 * compaction.
 */
function isKeptBack(entries: readonly Entry[], batch: CommitBatch): boolean {
  return batch.compactRevision !== undefined || (rowCount(batch) > 0 && entries.some(({ draft }) => draft.showsPast));
}
