import type { RowHead } from "@k3s/datastore";

/** Columns of one row as SQLite gives them: id, name, created, deleted, create_revision, prev_revision, lease. */
export type RawHead = readonly [
  id: number,
  name: string | number | null,
  created: number | null,
  deleted: number | null,
  createRevision: number | null,
  prevRevision: number | null,
  lease: number | null,
];

/** Heads of rows: the numbers of each, 64 bits wide, the lengths of the names, and the names as UTF-8. */
export interface PackedHeads {
  readonly numbers: ArrayBuffer;
  readonly nameLengths: ArrayBuffer;
  readonly names: ArrayBuffer;
}

/** Numbers of one row: all its columns but the name. */
const NUMBERS = 6;

/** Packs rows into buffers: as arrays of arrays they take longer on their way between threads than to be read. */
export function packHeads(rows: readonly RawHead[]): PackedHeads {
  const numbers = new Float64Array(rows.length * NUMBERS);
  const nameLengths = new Uint32Array(rows.length);
  const names = rows.map(([, name]) => String(name ?? "")); // a number where a file of old kine declares the column as INTEGER
  const text = names.join("");
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  const isAscii = bytes.length === text.length;
  for (const [i, [id, , ...others]] of rows.entries()) {
    numbers[i * NUMBERS] = id;
    for (const [n, number] of others.entries()) numbers[i * NUMBERS + 1 + n] = number ?? 0;
    const name = names[i] ?? "";
    nameLengths[i] = isAscii ? name.length : Buffer.byteLength(name);
  }
  return { numbers: numbers.buffer, nameLengths: nameLengths.buffer, names: bytes.buffer };
}

/** The rows again. */
export function unpackHeads(packed: PackedHeads): RowHead[] {
  const numbers = new Float64Array(packed.numbers);
  const names = Buffer.from(packed.names);
  let at = 0;
  return Array.from(new Uint32Array(packed.nameLengths), (length, i) => {
    const first = i * NUMBERS;
    return {
      id: numbers[first] ?? 0,
      name: names.toString("utf8", at, (at += length)),
      created: numbers[first + 1] !== 0,
      deleted: numbers[first + 2] !== 0,
      createRevision: numbers[first + 3] ?? 0,
      prevRevision: numbers[first + 4] ?? 0,
      ttlSeconds: numbers[first + 5] ?? 0,
    };
  });
}
