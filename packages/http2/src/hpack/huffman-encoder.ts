import { CODE_LENGTHS, CODES } from "./huffman-code.ts";

/** Bytes that {@link huffmanEncode} makes of `text`, of which each character is one byte. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += CODE_LENGTHS[text.charCodeAt(i) & 0xff] ?? 0;
  return Math.ceil(bits / 8);
}

/** Writes `text` to `output` from `offset` on. The caller has made room for {@link huffmanLength}. */
export function huffmanEncode(text: string, output: Uint8Array, offset: number): void {
  let pending = 0;
  let pendingBits = 0;
  let position = offset;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const [code = 0, length = 0] = [CODES[symbol], CODE_LENGTHS[symbol]];
    // At most 7 + 30 bits wait here: more than an integer of 32 bits holds, so this is plain arithmetic.
    pending = pending * 2 ** length + code;
    pendingBits += length;
    while (pendingBits >= 8) {
      pendingBits -= 8;
      const unit = 2 ** pendingBits;
      output[position++] = Math.floor(pending / unit);
      pending %= unit;
    }
  }
  if (pendingBits === 0) return;
  const free = 8 - pendingBits;
  output[position] = pending * 2 ** free + (2 ** free - 1); // padded with the start of the end symbol: ones
}
