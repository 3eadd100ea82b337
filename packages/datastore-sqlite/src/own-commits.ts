import type { CommitBatch, Position } from "@k3s/datastore";

/**
 * How far our own commits reach in the file, those under way included: they are found there before they are answered, and some time before the
 * store shows them. A row of somebody else below the last one of such a commit refuses it, and then the store reads that row.
 */
export class OwnCommits {
  readonly #underWay = new Set<Position>();
  #done: Position = { lastRow: 0, compactRevision: 0 };

  /** Carries out the commit of a batch. */
  async run(batch: CommitBatch, commit: () => Promise<void>): Promise<void> {
    const end = endOf(batch);
    this.#underWay.add(end);
    try {
      await commit();
      this.#done = farther(this.#done, end);
    } finally {
      this.#underWay.delete(end);
    }
  }

  reach(): Position {
    return [...this.#underWay].reduce(farther, this.#done);
  }
}

function endOf({ rows, deletions, compactRevision = 0 }: CommitBatch): Position {
  const ended = deletions === undefined ? 0 : deletions.first + deletions.rows.length - 1;
  return { lastRow: Math.max(rows.at(-1)?.id ?? 0, ended), compactRevision };
}

/** Of each the larger one. */
export function farther(one: Position, other: Position): Position {
  return {
    lastRow: Math.max(one.lastRow, other.lastRow),
    compactRevision: Math.max(one.compactRevision, other.compactRevision),
  };
}
