import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ProtocolError } from "../src/errors.ts";
import { decodeFrame, encodeFrame, type Frame } from "../src/frame.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const ascii = (text: string) => Buffer.from(text).toString("hex");

type Known = Exclude<Frame, { type: "unknown" }>;

const VECTORS: readonly (readonly [name: string, hex: string, frame: Known])[] = [
  [
    "Connect",
    `020404b0ea01 ${ascii("tcp/127.0.0.1:10250")}`,
    { id: 1n, connection: 2, type: "connect", target: { network: "tcp", address: "127.0.0.1:10250" } },
  ],
  ["Data", "040402b0ea01 6869", { id: 2n, connection: 2, type: "data", payload: Buffer.from("hi") }],
  ["Error", "060406 454f46", { id: 3n, connection: 2, type: "error", text: "EOF" }],
  ["Pause", "08040c", { id: 4n, connection: 2, type: "pause" }],
  ["Resume", "0a040e", { id: 5n, connection: 2, type: "resume" }],
  [
    "SyncConnections",
    "0c0010 0200000000000000 0500000000000000",
    { id: 6n, connection: 0, type: "sync", connections: [2, 5] },
  ],
  ["AddClient", `0e0008 ${ascii("node/7")}`, { id: 7n, connection: 0, type: "addClient", client: "node/7" }],
  ["RemoveClient", `10000a ${ascii("node/7")}`, { id: 8n, connection: 0, type: "removeClient", client: "node/7" }],
];

describe("frame codec", () => {
  for (const [name, bytes, frame] of VECTORS) {
    test(`encodeFrame() writes ${name} byte for byte`, () => {
      assert.equal(encodeFrame(frame).toString("hex"), hex(bytes).toString("hex"));
    });
    test(`decodeFrame() reads ${name}`, () => assert.deepEqual(decodeFrame(hex(bytes)), frame));
  }

  const ids: readonly bigint[] = [0n, 63n, 64n, -1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
  for (const id of ids)
    test(`an id of ${id} survives the trip`, () => {
      const frame = { id, connection: 300, type: "pause" } as const;
      assert.deepEqual(decodeFrame(encodeFrame(frame)), frame);
    });

  test("the widest id is written as Go writes it", () => {
    const bytes = encodeFrame({ id: 2n ** 63n - 1n, connection: 0, type: "pause" });
    assert.equal(bytes.toString("hex"), "feffffffffffffffff01" + "000c");
  });

  test("connection ids up to 2^53 survive the trip", () => {
    const frame = { id: 1n, connection: Number.MAX_SAFE_INTEGER, type: "resume" } as const;
    assert.deepEqual(decodeFrame(encodeFrame(frame)), frame);
  });

  test("SyncConnections is written in the order of the ids", () => {
    const frame = decodeFrame(encodeFrame({ id: 1n, connection: 0, type: "sync", connections: [300, 2, 10] }));
    assert.deepEqual(frame.type === "sync" && frame.connections, [2, 10, 300]);
  });

  test("decodeFrame() splits a target at its first slash and reads 266 bytes of it", () => {
    const frame = decodeFrame(Buffer.concat([hex("020404b0ea01"), Buffer.from(`unix//run/${"x".repeat(400)}`)]));
    assert.equal(frame.type, "connect");
    assert.deepEqual(frame.type === "connect" && frame.target, { network: "unix", address: `/run/${"x".repeat(256)}` });
  });

  test("decodeFrame() reads 100 bytes of an Error", () => {
    const frame = decodeFrame(Buffer.concat([hex("060406"), Buffer.alloc(200, "x")]));
    assert.equal(frame.type === "error" && frame.text, "x".repeat(100));
  });

  test("encodeFrame() cuts an Error between two characters", () => {
    const frame = decodeFrame(encodeFrame({ id: 1n, connection: 2, type: "error", text: `${"x".repeat(98)}€uro` }));
    assert.equal(frame.type === "error" && frame.text, "x".repeat(98));
  });

  test("decodeFrame() gives an unknown type as such", () => {
    assert.deepEqual(decodeFrame(hex("020412ff")), { id: 1n, connection: 2, type: "unknown", code: 9n });
  });

  const malformed: readonly (readonly [name: string, bytes: string, reason: RegExp])[] = [
    ["nothing", "", /id is truncated/],
    ["an open id", "80", /id is truncated/],
    ["an id of 11 bytes", "ffffffffffffffffffff01", /id is overflow/],
    ["an id beyond 64 bits", "ffffffffffffffffff02 04 0c", /id is overflow/],
    ["no connection", "02", /connection is truncated/],
    ["a connection beyond 2^53", "02 feffffffffffffffff01 0c", /connection is overflow/],
    ["no type", "0204", /type is truncated/],
    ["a Data without deadline", "020402", /deadline is truncated/],
    ["a Connect without slash", "020404b0ea01 746370", /without protocol/],
    ["a SyncConnections with half an id", "0c0010 02000000", /part of an ID/],
  ];
  for (const [name, bytes, reason] of malformed)
    test(`decodeFrame() refuses ${name}`, () => {
      assert.throws(
        () => decodeFrame(hex(bytes)),
        (error) => error instanceof ProtocolError && reason.test(error.message),
      );
    });

  for (const target of [
    { network: "tcp", address: "x".repeat(300) },
    { network: "a/b", address: "1" },
    { network: "", address: "1" },
  ])
    test(`encodeFrame() refuses the target ${target.network}/${target.address.slice(0, 3)}…`, () => {
      assert.throws(() => encodeFrame({ id: 1n, connection: 2, type: "connect", target }), RangeError);
    });

  test("decodeFrame() gives a frame or ProtocolError for whatever bytes", () => {
    const random = generator(20_261_121);
    let frames = 0;
    for (let round = 0; round < 50_000; round++) {
      const bytes = Buffer.from(Array.from({ length: random(40) }, () => random(256)));
      // Small leading bytes, every second time: otherwise hardly any frame has a known type.
      if (round % 2 === 0) for (let at = 0; at < Math.min(3, bytes.length); at++) bytes[at] = random(20);
      try {
        const frame = decodeFrame(bytes);
        if (frame.type !== "unknown" && frame.type !== "connect") assert.ok(decodeFrame(encodeFrame(frame)));
        frames++;
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }
    assert.ok(frames > 10_000, `only ${frames} were frames`);
  });

  test("decodeFrame() reads back every frame that was cut at no place but its end", () => {
    for (const [, bytes, frame] of VECTORS) {
      const whole = hex(bytes);
      for (let length = 0; length < whole.length; length++) {
        try {
          assert.notDeepEqual(decodeFrame(whole.subarray(0, length)), frame);
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
        }
      }
    }
  });
});

/** Numbers below `limit`, the same in each run (linear congruence of Numerical Recipes). */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}
