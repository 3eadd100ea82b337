import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { HeaderList } from "../src/hpack/header-list.ts";
import { HpackDecoder } from "../src/hpack/hpack-decoder.ts";
import { HpackEncoder } from "../src/hpack/hpack-encoder.ts";
import { huffmanDecode, huffmanDecodedMax } from "../src/hpack/huffman-decoder.ts";
import { huffmanEncode, huffmanLength } from "../src/hpack/huffman-encoder.ts";

const LIMIT = 1 << 20;
const COMPRESSION_ERROR = 9;

function decode(decoder: HpackDecoder, hex: string): string[] | undefined {
  return decoder.decode(Buffer.from(hex.replaceAll(" ", ""), "hex"))?.map(({ name, value }) => `${name}: ${value}`);
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.alloc(huffmanLength(text));
  huffmanEncode(text, bytes, 0);
  return bytes;
}

function decodeText(bytes: Buffer): string {
  const output = Buffer.alloc(huffmanDecodedMax(bytes.length));
  return output.subarray(0, huffmanDecode(bytes, output)).toString("latin1");
}

describe("HpackDecoder", () => {
  const bad: readonly (readonly [name: string, hex: string])[] = [
    ["index 0", "80"],
    ["an index beyond both tables", "be"],
    ["the name index of a literal beyond both tables", "7f00 0161"],
    ["an integer that never ends", "ffffffffffffffffffffff00"],
    ["an integer that is too large", "ffffffffff0f"],
    ["a block that ends in an index", "ff"],
    ["a block that ends in a name", "40 05 61"],
    ["a block that ends before a value", "40 01 61"],
    ["a table larger than agreed", "3fe21f"],
    ["a size update behind a field", "82 20"],
    ["Huffman padding of eight bits", "40 01 61 82 1f ff"],
    ["Huffman padding of zeros", "40 01 61 81 18"],
    ["Huffman coding of the end symbol", "40 01 61 84 ff ff ff ff"],
  ];
  for (const [name, hex] of bad)
    test(`refuses ${name}`, () => {
      const decoder = new HpackDecoder({ listSizeMax: LIMIT });
      assert.throws(() => decode(decoder, hex), { name: "ConnectionError", code: COMPRESSION_ERROR });
    });

  test("follows size updates at the start of a block", () => {
    const decoder = new HpackDecoder({ listSizeMax: LIMIT });
    assert.deepEqual(decode(decoder, "40 01 61 01 62"), ["a: b"]);
    assert.deepEqual(decode(decoder, "be"), ["a: b"]);
    assert.deepEqual(decode(decoder, "20 3fe11f 82"), [":method: GET"]); // to nothing, and back to 4096
    assert.throws(() => decode(decoder, "be"), { code: COMPRESSION_ERROR });
  });

  test("keeps nothing of a list beyond the limit, and stays in step", () => {
    const decoder = new HpackDecoder({ listSizeMax: 70 });
    assert.equal(decode(decoder, "40 01 61 01 62 40 01 63 01 64 40 01 65 01 66"), undefined);
    assert.deepEqual(decode(decoder, "be bf"), ["e: f", "c: d"]);
  });

  test("an entry larger than the table empties it", () => {
    const decoder = new HpackDecoder({ tableSizeMax: 64, listSizeMax: LIMIT });
    assert.deepEqual(decode(decoder, "40 01 61 01 62"), ["a: b"]);
    const long = "78".repeat(40);
    assert.deepEqual(decode(decoder, `40 01 61 28 ${long}`), [`a: ${"x".repeat(40)}`]);
    assert.throws(() => decode(decoder, "be"), { code: COMPRESSION_ERROR });
  });

  test("is full when the entries are as large as the table, not before", () => {
    const decoder = new HpackDecoder({ tableSizeMax: 68, listSizeMax: LIMIT });
    decode(decoder, "40 01 61 01 62 40 01 63 01 64"); // 34 bytes each
    assert.deepEqual(decode(decoder, "be bf"), ["c: d", "a: b"]);
    decode(decoder, "40 01 65 01 66");
    assert.deepEqual(decode(decoder, "be bf"), ["e: f", "c: d"]);
  });

  test("holds many small entries in order", () => {
    const decoder = new HpackDecoder({ listSizeMax: LIMIT });
    const name = (i: number) => i.toString(16).padStart(2, "0");
    for (let i = 0; i < 200; i++) decode(decoder, `40 01 61 01 ${name(i)}`);
    // 34 bytes each: 120 of them fit into 4096.
    assert.deepEqual(decode(decoder, "be"), [`a: ${String.fromCharCode(199)}`]);
    assert.deepEqual(decode(decoder, "ff36"), [`a: ${String.fromCharCode(200 - 120)}`]);
    assert.throws(() => decode(decoder, "ff37"), { code: COMPRESSION_ERROR });
  });
});

describe("huffmanEncode() and huffmanDecode()", () => {
  const known: readonly (readonly [text: string, hex: string])[] = [
    ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
    ["no-cache", "a8eb10649cbf"],
    ["custom-key", "25a849e95ba97d7f"],
    ["302", "6402"],
    ["", ""],
  ];
  for (const [text, hex] of known)
    test(`code "${text}" as the RFC does`, () => {
      assert.equal(encodeText(text).toString("hex"), hex);
      assert.equal(decodeText(Buffer.from(hex, "hex")), text);
    });

  test("give every byte back, alone and in the company of others", () => {
    for (let byte = 0; byte < 256; byte++) {
      const alone = String.fromCharCode(byte);
      for (const text of [alone, `a${alone}`, `${alone}${alone}z`, `~${alone}0`])
        assert.equal(decodeText(encodeText(text)), text);
    }
  });

  test("give random texts back", () => {
    const random = new Random(7541);
    for (let i = 0; i < 500; i++) {
      const text = random.bytes(random.below(200)).toString("latin1");
      assert.equal(decodeText(encodeText(text)), text);
    }
  });
});

describe("HpackEncoder", () => {
  const constant = new HeaderList(
    [
      [":status", "200"],
      ["content-type", "application/grpc"],
    ],
    { isConstant: true },
  );
  const once = new HeaderList([
    ["grpc-status", "5"],
    ["grpc-message", "not found"],
  ]);

  function roundTrip(encoder: HpackEncoder, decoder: HpackDecoder, list: HeaderList): number {
    const block = encoder.encode(list);
    const fields = decoder.decode(Buffer.from(block))?.map(({ name, value }) => [name, value]);
    assert.deepEqual(
      fields,
      list.fields.map(({ name, value }) => [name, value]),
    );
    return block.length;
  }

  test("sends the fields of a constant list once, and then two bytes", () => {
    const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder({ listSizeMax: LIMIT })];
    assert.ok(roundTrip(encoder, decoder, constant) > 10);
    for (let i = 0; i < 3; i++) assert.equal(roundTrip(encoder, decoder, constant), 2);
    assert.equal(encoder.encode(constant), encoder.encode(constant)); // the same bytes, not equal ones
  });

  test("keeps what is sent once out of the table", () => {
    const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder({ listSizeMax: LIMIT })];
    roundTrip(encoder, decoder, constant);
    const length = roundTrip(encoder, decoder, once);
    assert.equal(roundTrip(encoder, decoder, once), length);
    assert.equal(roundTrip(encoder, decoder, constant), 2);
  });

  test("stays in step while the peer changes the size of the table", () => {
    const random = new Random(42);
    const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder({ tableSizeMax: 65_536, listSizeMax: LIMIT })];
    const lists = Array.from(
      { length: 20 },
      (_, i) => new HeaderList([[`x-${i}`, "v".repeat(i * 20)]], { isConstant: i % 3 !== 0 }),
    );
    for (let i = 0; i < 500; i++) {
      if (random.below(10) === 0)
        for (let n = random.below(3); n >= 0; n--) encoder.limitTable(random.pick([0, 50, 300, 4096, 65_536]));
      roundTrip(encoder, decoder, random.pick([constant, once, ...lists]));
    }
  });

  test("uses no table at all when the peer allows none", () => {
    const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder({ tableSizeMax: 0, listSizeMax: LIMIT })];
    encoder.limitTable(0);
    assert.equal(encoder.encode(once)[0], 0x20); // says so first
    for (let i = 0; i < 3; i++) assert.ok(roundTrip(encoder, decoder, constant) > 10);
  });

  test("a list with a line break is refused when it is made", () => {
    assert.throws(() => new HeaderList([["a", "b\r\nc: d"]]), TypeError);
    assert.throws(() => new HeaderList([["A", "b"]]), TypeError);
  });
});
