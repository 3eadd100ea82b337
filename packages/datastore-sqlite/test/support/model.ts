/** One change in the model. */
export interface ModelChange {
  readonly key: string;
  readonly mod: number;
  readonly create: number;
  readonly version: number;
  readonly value: string;
  readonly deleted: boolean;
}

/** The simplest store that could be right: a list of all changes, searched from the end. */
export class Model {
  readonly changes: ModelChange[] = [];
  revision: number;
  compacted = 0;

  constructor(revision: number) {
    this.revision = revision;
  }

  /** All changes get the last of as many revisions as there are changes. */
  write(changes: readonly { readonly key: string; readonly value: string | undefined }[]): void {
    this.revision += changes.length;
    for (const { key, value } of changes) {
      const before = this.at(key, Number.POSITIVE_INFINITY);
      const live = before?.deleted === false ? before : undefined;
      this.changes.push({
        key,
        mod: this.revision,
        create: value === undefined ? 0 : (live?.create ?? this.revision),
        version: value === undefined ? 0 : (live?.version ?? 0) + 1,
        value: value ?? "",
        deleted: value === undefined,
      });
    }
  }

  at(key: string, revision: number): ModelChange | undefined {
    return this.changes.findLast((change) => change.key === key && change.mod <= revision);
  }

  list(from: string, to: string, revision: number): ModelChange[] {
    const keys = [...new Set(this.changes.map(({ key }) => key))].filter((key) => key >= from && key < to).sort();
    return keys.map((key) => this.at(key, revision)).filter((change) => change?.deleted === false) as ModelChange[];
  }

  /** What a watch from `start` is told, with the value before each change where it is not compacted away. */
  history(from: string, to: string, start: number): string[] {
    return this.changes
      .filter(({ key, mod }) => mod >= start && key >= from && key < to)
      .filter(({ mod, deleted }) => !(deleted && mod <= this.compacted))
      .map((change) => {
        const before = this.changes.findLast(({ key, mod }) => key === change.key && mod < change.mod);
        const was =
          before === undefined || before.deleted || change.mod <= this.compacted ? "" : ` was ${before.value}`;
        return `${change.mod} ${change.deleted ? "delete" : "put"} ${change.key}=${change.value}${was}`;
      });
  }
}

/** Random numbers that a seed repeats (mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 to `sides` - 1. */
  roll(sides: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * sides) | 0;
  }
}
