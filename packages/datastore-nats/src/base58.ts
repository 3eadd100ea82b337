/** The alphabet of Bitcoin's base 58: no 0, O, I and l. */
const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE = 58;
const DIGITS: ReadonlyMap<string, number> = new Map(Array.from(ALPHABET, (char, digit) => [char, digit]));

/** Bytes as base 58; every leading zero byte is a `1`. */
export function encodeBase58(bytes: Uint8Array): string {
  const digits = convert(bytes, { from: 256, to: BASE });
  return digits.map((digit) => ALPHABET.charAt(digit)).join("");
}

/** What {@link encodeBase58} was given; undefined where the text is no base 58. */
export function decodeBase58(text: string): Buffer | undefined {
  const digits: number[] = [];
  for (const char of text) {
    const digit = DIGITS.get(char);
    if (digit === undefined) return undefined;
    digits.push(digit);
  }
  return Buffer.from(convert(digits, { from: BASE, to: 256 }));
}

/** Long division of a big-endian number; leading zeros are kept one for one. */
function convert(digits: ArrayLike<number>, { from, to }: { readonly from: number; readonly to: number }): number[] {
  const result: number[] = []; // lowest digit first
  let zeros = 0;
  while (zeros < digits.length && digits[zeros] === 0) zeros++;
  for (let i = zeros; i < digits.length; i++) {
    let carry = digits[i] ?? 0;
    for (let j = 0; j < result.length; j++) {
      carry += (result[j] ?? 0) * from;
      result[j] = carry % to;
      carry = Math.floor(carry / to);
    }
    for (; carry > 0; carry = Math.floor(carry / to)) result.push(carry % to);
  }
  for (let i = 0; i < zeros; i++) result.push(0);
  return result.reverse();
}
