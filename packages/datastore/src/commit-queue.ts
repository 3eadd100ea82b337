import { hasPuts, mayShareCommit } from "./batch.ts";
import { emptyBatch, type DriverTraits } from "./driver.ts";
import type { Draft } from "./draft.ts";
import { answerOf } from "./to-store-error.ts";

const MAX_BATCH_ROWS = 256;
const MAX_BATCH_BYTES = 1024 * 1024;

/** In what company a change is tried, however often it is planned. */
export interface Company {
  /** How many may share its commit, itself included. */
  most: number;
}

/** A change on its way to the disk. */
export interface Entry {
  readonly draft: Draft<unknown>;
  readonly company: Company;
  readonly logEnd: number;
  readonly lastRow: number;
  /** What was compacted when it was planned. */
  readonly compactRevision: number;
  /** "again": nothing was written, plan it anew. */
  readonly outcome: PromiseWithResolvers<"committed" | "again">;
}

/** Changes that were planned one on top of the other and wait for their commit. */
export class CommitQueue {
  readonly #traits: DriverTraits;
  #entries: Entry[] = [];

  constructor(traits: DriverTraits) {
    this.#traits = traits;
  }

  get length(): number {
    return this.#entries.length;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** Takes as many from the front as may become durable together. `partsPuts`: puts and what puts nothing may not. */
  take(partsPuts: boolean): Entry[] {
    const first = this.#entries[0]?.draft.batch ?? emptyBatch;
    let [count, rows, bytes, most] = [0, 0, 0, Infinity];
    for (const { draft, company } of this.#entries) {
      most = Math.min(most, company.most);
      if (count >= most) break;
      if (count > 0 && !mayShareCommit(first, draft.batch, this.#traits)) break;
      if (partsPuts && hasPuts(first) !== hasPuts(draft.batch)) break;
      rows += draft.batch.rows.length;
      bytes += draft.batch.rows.reduce((sum, row) => sum + (row.value?.length ?? 0), 0);
      if (count > 0 && (rows > MAX_BATCH_ROWS || bytes > MAX_BATCH_BYTES)) break;
      count++;
    }
    return this.#entries.splice(0, count);
  }

  takeAll(): Entry[] {
    return this.#entries.splice(0);
  }
}

/** Without effect on entries that have their outcome. */
export function planAnew(entries: readonly Entry[]): void {
  for (const { outcome } of entries) outcome.resolve("again");
}

/** Without effect on entries that have their outcome. */
export function refuse(entries: readonly Entry[], error: unknown): void {
  const refused = answerOf(error);
  for (const { outcome } of entries) outcome.reject(refused);
}
