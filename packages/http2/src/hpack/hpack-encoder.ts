import { DynamicTable } from "./dynamic-table.ts";
import type { HeaderField } from "./header-field.ts";
import type { HeaderList } from "./header-list.ts";
import { huffmanEncode, huffmanLength } from "./huffman-encoder.ts";
import { STATIC_INDEX, STATIC_TABLE } from "./static-table.ts";

const TABLE_SIZE = 4096;
/** Beyond this number of constant lists their encodings are not kept. */
const KEPT_MAX = 64;

interface Kept {
  readonly block: Buffer;
  /** State of the table for which the block holds. */
  readonly generation: number;
}

/**
 * Encodes the header blocks of one connection, in the order in which they are sent. The block of a constant list is made
 * anew only when the table has changed since: after the first few answers it is always the same bytes.
 */
export class HpackEncoder {
  readonly #table = new DynamicTable(TABLE_SIZE);
  readonly #kept = new Map<HeaderList, Kept>();
  #generation = 0;
  /** Smallest and last size the peer asked for since the last block; the peer is told of both. */
  #resizes: { smallest: number; last: number } | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. More than 4096 bytes are never used. */
  limitTable(peerSize: number): void {
    const size = Math.min(peerSize, TABLE_SIZE);
    if (this.#resizes === undefined && size === this.#table.maxSize) return;
    this.#resizes = { smallest: Math.min(size, this.#resizes?.smallest ?? size), last: size };
    this.#generation++;
  }

  /** The result must be sent before that of the next call. */
  encode(list: HeaderList): Buffer {
    const kept = list.isConstant ? this.#kept.get(list) : undefined;
    if (kept?.generation === this.#generation) return kept.block;
    const hadResizes = this.#resizes !== undefined;
    const before = this.#generation;
    this.#start(list);
    this.#writeResizes();
    for (const field of list.fields) this.#writeField(field, list.isConstant);
    const block = this.#bytes.subarray(0, this.#length);
    const isSettled = !hadResizes && before === this.#generation;
    if (list.isConstant && isSettled && (this.#kept.has(list) || this.#kept.size < KEPT_MAX))
      this.#kept.set(list, { block, generation: before });
    return block;
  }

  #start(list: HeaderList): void {
    // Lengths and indexes take less than the 32 bytes that a field's size has on top of its text.
    const room = list.fields.reduce((sum, field) => sum + field.size, 16);
    this.#bytes = Buffer.allocUnsafe(room);
    this.#length = 0;
  }

  #writeResizes(): void {
    if (this.#resizes === undefined) return;
    const { smallest, last } = this.#resizes;
    this.#resizes = undefined;
    for (const size of smallest === last ? [last] : [smallest, last]) {
      this.#table.resize(size);
      this.#integer(0x20, 5, size);
    }
  }

  #writeField(field: HeaderField, isIndexed: boolean): void {
    const index = this.#indexOf(field);
    if (index !== 0) {
      this.#integer(0x80, 7, index);
      return;
    }
    const nameIndex = STATIC_INDEX.get(field.name) ?? 0;
    const isKept = isIndexed && field.size <= this.#table.maxSize;
    if (isKept) this.#integer(0x40, 6, nameIndex);
    else this.#integer(0x00, 4, nameIndex);
    if (nameIndex === 0) this.#string(field.name);
    this.#string(field.value);
    if (!isKept) return;
    this.#table.add(field);
    this.#generation++;
  }

  #indexOf({ name, value }: HeaderField): number {
    const inStatic = STATIC_INDEX.get(`${name}\0${value}`);
    if (inStatic !== undefined) return inStatic;
    for (let i = 0; i < this.#table.count; i++) {
      const entry = this.#table.at(i);
      if (entry?.name === name && entry.value === value) return STATIC_TABLE.length + 1 + i;
    }
    return 0;
  }

  #integer(marks: number, prefixBits: number, value: number): void {
    const prefixMax = (1 << prefixBits) - 1;
    if (value < prefixMax) {
      this.#bytes[this.#length++] = marks | value;
      return;
    }
    this.#bytes[this.#length++] = marks | prefixMax;
    let rest = value - prefixMax;
    for (; rest >= 0x80; rest >>>= 7) this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#length++] = rest;
  }

  #string(text: string): void {
    const packed = huffmanLength(text);
    if (packed < text.length) {
      this.#integer(0x80, 7, packed);
      huffmanEncode(text, this.#bytes, this.#length);
      this.#length += packed;
      return;
    }
    this.#integer(0x00, 7, text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }
}
