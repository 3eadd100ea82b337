import type { Random } from "@k3s/testkit";

/** Field numbers that no message of etcd has. */
const UNKNOWN_FIELDS = [1000, 4095, 2 ** 29 - 1] as const;
const GROUPS_MAX = 60;

const START_GROUP = 3;
const END_GROUP = 4;

/** A base-128 varint of any size, of its low 64 bits when negative. */
export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function tag(field: number, wireType: number): Buffer {
  return varint((BigInt(field) << 3n) | BigInt(wireType));
}

/** A complete field that a reader has to pass over, of any wire type there is. */
export function unknownField(random: Random): Buffer {
  const field = random.pick(UNKNOWN_FIELDS);
  const payload = random.bytes(random.below(20));
  return random.pick([
    () => Buffer.concat([tag(field, 0), varint(-BigInt(random.below(9)))]),
    () => Buffer.concat([tag(field, 1), random.bytes(8)]),
    () => Buffer.concat([tag(field, 2), varint(BigInt(payload.length)), payload]),
    () => Buffer.concat([tag(field, 5), random.bytes(4)]),
    () => groups(field, 1 + random.below(GROUPS_MAX)),
  ])();
}

/** Groups of protobuf 2, each in the one before, with a number in the innermost. */
export function groups(field: number, depth: number): Buffer {
  const inner = Buffer.concat([tag(7, 0), varint(300n)]);
  const open = Array.from({ length: depth }, () => tag(field, START_GROUP));
  const close = Array.from({ length: depth }, () => tag(field, END_GROUP));
  return Buffer.concat([...open, inner, ...close]);
}

/** A transaction in a transaction, `depth` times, as the bytes of the outermost. */
export function nestedTxn(depth: number): Buffer {
  let txn: Buffer = Buffer.alloc(0);
  for (let i = 0; i < depth; i++) {
    const op = Buffer.concat([tag(4, 2), varint(BigInt(txn.length)), txn]);
    txn = Buffer.concat([tag(2, 2), varint(BigInt(op.length)), op]);
  }
  return txn;
}

/** As deep as a transaction may be, and deeper. */
const NESTED = [1, 20, 127, 129, 300].map(nestedTxn);

type Spoil = (message: Buffer, random: Random) => Buffer;

function at(message: Buffer, random: Random): number {
  return random.below(message.length + 1);
}

function insert(message: Buffer, position: number, bytes: Buffer): Buffer {
  return Buffer.concat([message.subarray(0, position), bytes, message.subarray(position)]);
}

const SPOILS: readonly Spoil[] = [
  function flipBit(message, random) {
    const copy = Buffer.from(message);
    const position = random.below(Math.max(1, copy.length));
    if (position < copy.length) copy[position] = (copy[position] ?? 0) ^ (1 << random.below(8));
    return copy;
  },
  function setByte(message, random) {
    const copy = Buffer.from(message);
    if (copy.length > 0) copy[random.below(copy.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
    return copy;
  },
  (message, random) => message.subarray(0, at(message, random)),
  (message, random) => insert(message, at(message, random), random.bytes(random.below(12))),
  (message, random) => Buffer.concat([message, message.subarray(at(message, random))]),
  /** A length far beyond the end, up to 2^63. */
  (message, random) =>
    insert(
      message,
      at(message, random),
      Buffer.concat([tag(1 + random.below(9), 2), varint(1n << BigInt(random.below(64)))]),
    ),
  /** Numbers below zero and of the largest size, in fields that may want others. */
  (message, random) =>
    Buffer.concat([
      message,
      tag(1 + random.below(13), 0),
      varint(random.pick([-1n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n])),
    ]),
  /** A number without an end. */
  (message, random) => insert(message, at(message, random), Buffer.alloc(9 + random.below(4), 0xff)),
  (message, random) => insert(message, at(message, random), unknownField(random)),
  /** A group that does not end, ends twice, or ends as another one. */
  (message, random) =>
    Buffer.concat([
      message,
      random.pick([
        tag(99, START_GROUP),
        tag(99, END_GROUP),
        Buffer.concat([tag(98, START_GROUP), tag(99, END_GROUP)]),
      ]),
    ]),
  (message, random) => {
    const nested = random.pick(NESTED);
    return Buffer.concat([message, tag(1 + random.below(4), 2), varint(BigInt(nested.length)), nested]);
  },
];

/** The message with up to three things wrong in it. It may still be a valid one. */
export function spoil(message: Buffer, random: Random): Buffer {
  let spoilt = message;
  for (let i = random.below(3); i >= 0; i--) spoilt = random.pick(SPOILS)(spoilt, random);
  return spoilt;
}
