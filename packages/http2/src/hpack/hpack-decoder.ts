import { DynamicTable } from "./dynamic-table.ts";
import { HeaderField } from "./header-field.ts";
import { HpackError } from "./hpack-error.ts";
import { huffmanDecode, huffmanDecodedMax } from "./huffman-decoder.ts";
import { STATIC_TABLE } from "./static-table.ts";

export interface HpackDecoderOptions {
  /** SETTINGS_HEADER_TABLE_SIZE as we announced it. Default 4096, the protocol's. */
  readonly tableSizeMax?: number;
  /** A list of fields beyond this size (RFC 9113 section 10.5.1) is not kept. */
  readonly listSizeMax: number;
}

const TABLE_SIZE = 4096;
const STATIC_COUNT = STATIC_TABLE.length;
/** Numbers in header blocks are indexes, lengths and table sizes: none can be near this. */
const INTEGER_MAX = 1 << 28;
const SCRATCH_BYTES = 4096;
const NO_NAME = 0;

/** Decodes the header blocks of one connection, in order. Synchronous and without knowledge of frames. */
export class HpackDecoder {
  readonly #table: DynamicTable;
  readonly #tableSizeMax: number;
  readonly #listSizeMax: number;
  #scratch: Buffer | undefined;
  #block: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor({ tableSizeMax = TABLE_SIZE, listSizeMax }: HpackDecoderOptions) {
    this.#table = new DynamicTable(tableSizeMax);
    this.#tableSizeMax = tableSizeMax;
    this.#listSizeMax = listSizeMax;
  }

  /**
   * The fields of one whole block; undefined when they are more than the limit, which leaves the decoder in step all
   * the same. Throws HpackError, after which nothing can be decoded any more.
   */
  decode(block: Buffer): HeaderField[] | undefined {
    this.#block = block;
    this.#position = 0;
    this.#updateTableSize();
    const fields: HeaderField[] = [];
    let size = 0;
    while (this.#position < block.length) {
      const field = this.#field();
      size += field.size;
      if (size <= this.#listSizeMax) fields.push(field);
    }
    return size <= this.#listSizeMax ? fields : undefined;
  }

  /** Size updates come first in a block, and nowhere else. */
  #updateTableSize(): void {
    while (this.#position < this.#block.length && (this.#peek() & 0xe0) === 0x20) {
      const size = this.#integer(5);
      if (size > this.#tableSizeMax) throw new HpackError("Cannot resize table: larger than the agreed size");
      this.#table.resize(size);
    }
  }

  #field(): HeaderField {
    const first = this.#peek();
    if (first >= 0x80) return this.#at(this.#integer(7));
    if (first >= 0x40) {
      const field = this.#literal(6);
      this.#table.add(field);
      return field;
    }
    if (first >= 0x20) throw new HpackError("Cannot resize table: not at the start of a block");
    return this.#literal(4);
  }

  #literal(prefixBits: number): HeaderField {
    const index = this.#integer(prefixBits);
    const name = index === NO_NAME ? this.#string() : this.#at(index).name;
    return new HeaderField(name, this.#string());
  }

  #at(index: number): HeaderField {
    const field = index <= STATIC_COUNT ? STATIC_TABLE[index - 1] : this.#table.at(index - STATIC_COUNT - 1);
    if (field === undefined) throw new HpackError("Cannot read field: its index is in neither table");
    return field;
  }

  /** RFC 7541 section 5.1. */
  #integer(prefixBits: number): number {
    const prefixMax = (1 << prefixBits) - 1;
    let value = this.#peek() & prefixMax;
    this.#position++;
    if (value < prefixMax) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#peek();
      this.#position++;
      value += (byte & 0x7f) * 2 ** shift;
      if (value > INTEGER_MAX || shift > 28) throw new HpackError("Cannot read integer: too large");
      if (byte < 0x80) return value;
    }
  }

  /** RFC 7541 section 5.2. */
  #string(): string {
    const isHuffman = this.#peek() >= 0x80;
    const length = this.#integer(7);
    const start = this.#position;
    const end = start + length;
    if (end > this.#block.length) throw new HpackError("Cannot read string: longer than its block");
    this.#position = end;
    if (!isHuffman) return this.#block.toString("latin1", start, end);
    const scratch = this.#room(huffmanDecodedMax(length));
    const decoded = huffmanDecode(this.#block.subarray(start, end), scratch);
    return scratch.toString("latin1", 0, decoded);
  }

  #room(length: number): Buffer {
    if (length > SCRATCH_BYTES) return Buffer.allocUnsafe(length);
    this.#scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    return this.#scratch;
  }

  #peek(): number {
    const byte = this.#block[this.#position];
    if (byte === undefined) throw new HpackError("Cannot read field: its block ends in the middle of it");
    return byte;
  }
}
