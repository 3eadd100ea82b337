/** The alphabet of Bitcoin's base 58: no 0, O, I and l. */
const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const DIGITS: ReadonlyMap<string, number> = new Map(Array.from(ALPHABET, (char, digit) => [char, digit]));

/** How a number is written, and how many of its digits are worked on at a time. */
interface Radix {
  readonly base: number;
  readonly digits: number;
  /** `base` to the power of `digits`. Products of two limbs are whole numbers that a double holds exactly. */
  readonly limb: number;
}

const BYTES: Radix = { base: 256, digits: 3, limb: 256 ** 3 };
const BASE58: Radix = { base: 58, digits: 4, limb: 58 ** 4 };

/** Bytes as base 58; every leading zero byte is a `1`. Takes about 30 µs for 256 bytes, four times as much for twice as many. */
export function encodeBase58(bytes: Uint8Array): string {
  const digits = convert(bytes, BYTES, BASE58);
  return digits.map((digit) => ALPHABET.charAt(digit)).join("");
}

/** What {@link encodeBase58} was given; undefined where the text is no base 58. Takes as long. */
export function decodeBase58(text: string): Buffer | undefined {
  const digits: number[] = [];
  for (const char of text) {
    const digit = DIGITS.get(char);
    if (digit === undefined) return undefined;
    digits.push(digit);
  }
  return Buffer.from(convert(digits, BASE58, BYTES));
}

/** Long division of a big-endian number; leading zeros are kept one for one. */
function convert(digits: ArrayLike<number>, from: Radix, to: Radix): number[] {
  let zeros = 0;
  while (zeros < digits.length && digits[zeros] === 0) zeros++;
  const number = new LargeNumber(digits.length - zeros, from, to);
  const missing = (from.digits - ((digits.length - zeros) % from.digits)) % from.digits;
  for (let at = zeros - missing; at < digits.length; at += from.digits) number.append(limbAt(digits, at, from));
  const result = number.digits();
  for (let i = 0; i < zeros; i++) result.push(0);
  return result.reverse();
}

/** What stands in front of the first digit is zero. */
function limbAt(digits: ArrayLike<number>, at: number, { base, digits: count }: Radix): number {
  let limb = 0;
  for (let i = at; i < at + count; i++) limb = limb * base + (digits[i] ?? 0);
  return limb;
}

/** A number that is told in limbs of one radix and held in those of another. */
class LargeNumber {
  readonly #from: Radix;
  readonly #to: Radix;
  /** Lowest first. As doubles: whole numbers of an array would be converted for each product. */
  readonly #limbs: Float64Array;
  #count = 0;

  /** Of so many digits at most. */
  constructor(digits: number, from: Radix, to: Radix) {
    this.#from = from;
    this.#to = to;
    const limbs = Math.ceil(digits / from.digits) * (Math.log(from.limb) / Math.log(to.limb));
    this.#limbs = new Float64Array(Math.ceil(limbs) + 1);
  }

  /** Multiplies it by a limb's worth and adds one. */
  append(limb: number): void {
    const limbs = this.#limbs;
    const count = this.#count;
    const factor = this.#from.limb;
    const { limb: size } = this.#to;
    const inverse = 1 / size; // divisions and remainders of doubles take several times as long
    let carry = limb;
    for (let i = 0; i < count; i++) {
      const sum = (limbs[i] ?? 0) * factor + carry;
      carry = Math.floor(sum * inverse);
      const rest = sum - carry * size;
      const isWhole = rest === size; // by the error of the inverse, which is too small for more
      limbs[i] = isWhole ? 0 : rest;
      if (isWhole) carry++;
    }
    for (; carry > 0; carry = Math.floor(carry / size)) limbs[this.#count++] = carry % size;
  }

  /** Lowest first, without zeros at the end. */
  digits(): number[] {
    const { base, digits } = this.#to;
    const result: number[] = [];
    for (let i = 0; i < this.#count; i++) {
      let rest = this.#limbs[i] ?? 0;
      for (let digit = 0; digit < digits; digit++, rest = Math.floor(rest / base)) result.push(rest % base);
    }
    while (result.at(-1) === 0) result.pop();
    return result;
  }
}
