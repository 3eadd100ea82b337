import type { Needs } from "./draft.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { toStoreError, unavailable } from "./to-store-error.ts";
import type { ValueCache } from "./value-cache.ts";

interface PinsParts {
  readonly index: MvccIndex;
  readonly values: ValueCache;
}

/** Values that one plan needs at once, however often it is made. */
export class Pins {
  readonly values = new Map<number, Buffer>();
  readonly #parts: PinsParts;
  /** Rows that the database did not have. */
  readonly #missing = new Set<number>();

  constructor(parts: PinsParts) {
    this.#parts = parts;
  }

  /**
   * Loads what a plan needs. Resolves with false where rows are missing that may have been compacted: made on what the database holds now, the
   * plan needs them no more. Rejects where it does, or where a row should be there, as when somebody deleted it in the database.
   */
  async load({ needs }: Needs): Promise<boolean> {
    const once = new Map(needs.map((version) => [version.row, version])); // a plan may need a value in several places
    const wanted = [...once.values()].filter(({ row }) => !this.values.has(row));
    const loaded = await this.#load(wanted);
    for (const [row, value] of loaded) this.values.set(row, value);
    for (const { row, mod } of wanted) {
      if (loaded.has(row)) continue;
      if (this.#missing.has(row) || mod > this.#parts.index.compactRevision)
        throw unavailable(`row ${row} is missing in the database`);
      this.#missing.add(row);
    }
    return wanted.every(({ row }) => loaded.has(row));
  }

  async #load(wanted: Needs["needs"]): Promise<Map<number, Buffer>> {
    try {
      return await this.#parts.values.load(wanted);
    } catch (error) {
      throw toStoreError(error);
    }
  }
}
