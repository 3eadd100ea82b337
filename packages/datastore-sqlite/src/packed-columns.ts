import type { PackedColumns, PackedRow } from "./worker-protocol.ts";

/** Numbers of one row: all its columns but the name. */
const NUMBERS = 8;

/** Packs rows into buffers. As objects a large transaction would not fit into the memory of the worker, and sending them takes long. */
export class ColumnPacker {
  readonly #numbers: Float64Array<ArrayBuffer>;
  readonly #nameLengths: Uint32Array<ArrayBuffer>;
  readonly #names: Buffer[] = [];
  #count = 0;

  /** For exactly `rows` rows. */
  constructor(rows: number) {
    this.#numbers = new Float64Array(rows * NUMBERS);
    this.#nameLengths = new Uint32Array(rows);
  }

  add([id, name, ...others]: PackedRow): void {
    const bytes = Buffer.from(name, "utf8");
    this.#numbers.set([id, ...others], this.#count * NUMBERS);
    this.#nameLengths[this.#count] = bytes.length;
    this.#names.push(bytes);
    this.#count++;
  }

  pack(): PackedColumns {
    const names = new Uint8Array(this.#names.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const name of this.#names) {
      names.set(name, at);
      at += name.length;
    }
    return { numbers: this.#numbers.buffer, nameLengths: this.#nameLengths.buffer, names: names.buffer };
  }
}

/** The rows again, each made when it is its turn. */
export function* unpackColumns(columns: PackedColumns): Generator<PackedRow, void> {
  const numbers = new Float64Array(columns.numbers);
  const names = Buffer.from(columns.names);
  let at = 0;
  for (const [n, nameLength] of new Uint32Array(columns.nameLengths).entries()) {
    const [id = 0, created, deleted, createRevision = 0, prevRevision = 0, ttlSeconds = 0, offset = 0, length = -1] =
      numbers.subarray(n * NUMBERS, (n + 1) * NUMBERS);
    const name = names.toString("utf8", at, (at += nameLength));
    const flags = [created === 1 ? 1 : 0, deleted === 1 ? 1 : 0] as const;
    yield [id, name, ...flags, createRevision, prevRevision, ttlSeconds, offset, length];
  }
}
