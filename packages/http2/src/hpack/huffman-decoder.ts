import { CODE_LENGTHS, CODES, END_OF_STRING } from "./huffman-code.ts";
import { HpackError } from "./hpack-error.ts";

/** A state is an inner node of the code's tree; there are as many as symbols less one. */
const STATES = END_OF_STRING;
const ROOT = 0;

// A transition by four bits: the next state, the symbol they complete, and these two marks.
const HAS_SYMBOL = 1 << 8;
const IS_INVALID = 1 << 9;
const STATE_SHIFT = 16;
const SYMBOL_MASK = 0xff;
/** A code is at least five bits long, so a byte completes at most 1.6 symbols. */
const SYMBOLS_PER_BYTE = 1.6;

const tree = buildTree();
const transitions = buildTransitions();
/** States in which a string may end: reached from the root by at most seven 1 bits. */
const finalStates = findFinalStates();

/** Upper bound of the decoded length of `length` bytes. */
export function huffmanDecodedMax(length: number): number {
  return Math.ceil(length * SYMBOLS_PER_BYTE) + 1;
}

/** Decodes `input` into `output`, which has room for {@link huffmanDecodedMax}, and returns the length. Throws HpackError. */
export function huffmanDecode(input: Uint8Array, output: Uint8Array): number {
  let state = ROOT;
  let length = 0;
  for (let i = 0; i < input.length; i++) {
    const byte = input[i] ?? 0;
    const first = transitions[state * 16 + (byte >> 4)] ?? IS_INVALID;
    if ((first & HAS_SYMBOL) !== 0) output[length++] = first & SYMBOL_MASK;
    const second = transitions[(first >>> STATE_SHIFT) * 16 + (byte & 15)] ?? IS_INVALID;
    if ((second & HAS_SYMBOL) !== 0) output[length++] = second & SYMBOL_MASK;
    if (((first | second) & IS_INVALID) !== 0) throw new HpackError("Cannot decode string: it contains its own end");
    state = second >>> STATE_SHIFT;
  }
  if (finalStates[state] !== 1) throw new HpackError("Cannot decode string: padding is not the start of its end");
  return length;
}

/** Child of node n by bit b at [2n + b]: another inner node, or a symbol as its bitwise complement. */
function buildTree(): Int16Array {
  const nodes = new Int16Array(2 * STATES);
  let used = 1;
  for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
    const [code = 0, length = 0] = [CODES[symbol], CODE_LENGTHS[symbol]];
    let node = ROOT;
    for (let bit = length - 1; bit > 0; bit--) {
      const slot = 2 * node + ((code >>> bit) & 1);
      if (nodes[slot] === 0) nodes[slot] = used++;
      node = nodes[slot] ?? ROOT;
    }
    nodes[2 * node + (code & 1)] = ~symbol;
  }
  return nodes;
}

function buildTransitions(): Uint32Array {
  const table = new Uint32Array(16 * STATES);
  for (let state = 0; state < STATES; state++)
    for (let bits = 0; bits < 16; bits++) table[state * 16 + bits] = follow(state, bits);
  return table;
}

function follow(state: number, bits: number): number {
  let node = state;
  let marks = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = tree[2 * node + ((bits >>> bit) & 1)] ?? ROOT;
    if (next >= 0) {
      node = next;
      continue;
    }
    node = ROOT;
    const symbol = ~next;
    marks = symbol === END_OF_STRING ? marks | IS_INVALID : marks | HAS_SYMBOL | symbol;
  }
  return (node << STATE_SHIFT) | marks;
}

function findFinalStates(): Uint8Array {
  const states = new Uint8Array(STATES);
  let node = ROOT;
  for (let ones = 0; ones < 8; ones++) {
    states[node] = 1;
    node = tree[2 * node + 1] ?? ROOT;
  }
  return states;
}
