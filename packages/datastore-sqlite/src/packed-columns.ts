import type { PackedColumns } from "./worker-protocol.ts";

/**
 * Packs rows of a name and so many numbers into buffers: as objects a large transaction would not fit into the memory of the worker, and a
 * page takes longer on its way between threads than to be read.
 */
export class ColumnPacker {
  readonly #width: number;
  readonly #numbers: Float64Array<ArrayBuffer>;
  readonly #names: string[] = [];

  /** For exactly `rows` rows of `width` numbers. */
  constructor(rows: number, width: number) {
    this.#width = width;
    this.#numbers = new Float64Array(rows * width);
  }

  /** null is packed as 0. */
  add(name: string, numbers: readonly (number | null)[]): void {
    const first = this.#names.length * this.#width;
    for (const [n, number] of numbers.entries()) this.#numbers[first + n] = number ?? 0;
    this.#names.push(name);
  }

  pack(): PackedColumns {
    const text = this.#names.join("");
    const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
    bytes.write(text);
    const isAscii = bytes.length === text.length;
    const nameLengths = Uint32Array.from(this.#names, (name) => (isAscii ? name.length : Buffer.byteLength(name)));
    return { numbers: this.#numbers.buffer, nameLengths: nameLengths.buffer, names: bytes.buffer };
  }
}

/** Gives a row from its name and `numbers[first]` and those behind it. */
type MakeRow<Row> = (name: string, numbers: Float64Array, first: number) => Row;

/** The rows again, each made when it is its turn. */
export function* unpackColumns<Row>(columns: PackedColumns, width: number, make: MakeRow<Row>): Generator<Row, void> {
  const numbers = new Float64Array(columns.numbers);
  const names = Buffer.from(columns.names);
  let at = 0;
  for (const [n, length] of new Uint32Array(columns.nameLengths).entries())
    yield make(names.toString("utf8", at, (at += length)), numbers, n * width);
}
