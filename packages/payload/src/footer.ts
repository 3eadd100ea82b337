import { createHash } from "node:crypto";

/** The last bytes of an executable with a payload: this text, where the index is, and the index's SHA-256. */
const MAGIC = Buffer.from("k3s payload v1\r\n");
export const FOOTER_BYTES = MAGIC.length + 16 + 32;

export interface Footer {
  readonly offset: number;
  readonly length: number;
  readonly sha256: Buffer;
}

/** The footer for an index of these (compressed) bytes at `offset`. */
export function formatFooter(offset: number, index: Uint8Array): Buffer {
  const numbers = Buffer.alloc(16);
  numbers.writeBigUInt64LE(BigInt(offset), 0);
  numbers.writeBigUInt64LE(BigInt(index.length), 8);
  return Buffer.concat([MAGIC, numbers, createHash("sha256").update(index).digest()]);
}

/** Undefined when the bytes are no footer. */
export function parseFooter(bytes: Buffer): Footer | undefined {
  if (bytes.length !== FOOTER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  return {
    offset: Number(bytes.readBigUInt64LE(MAGIC.length)),
    length: Number(bytes.readBigUInt64LE(MAGIC.length + 8)),
    sha256: bytes.subarray(MAGIC.length + 16),
  };
}
