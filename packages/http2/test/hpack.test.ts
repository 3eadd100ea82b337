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

const GET = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const DATE_21 = "Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22 = "Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION = "location: https://www.example.com";
const COOKIE = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/** The examples of RFC 7541 appendix C: blocks of one connection in order, each with its fields. */
const examples: readonly {
  readonly name: string;
  readonly tableSize: number;
  readonly blocks: readonly (readonly [hex: string, fields: readonly string[]])[];
}[] = [
  {
    name: "C.2.1: literal with indexing",
    tableSize: 4096,
    blocks: [["400a637573746f6d2d6b65790d637573746f6d2d686561646572", ["custom-key: custom-header"]]],
  },
  {
    name: "C.2.2: literal without indexing",
    tableSize: 4096,
    blocks: [["040c2f73616d706c652f70617468", [":path: /sample/path"]]],
  },
  {
    name: "C.2.3: literal never indexed",
    tableSize: 4096,
    blocks: [["100870617373776f726406736563726574", ["password: secret"]]],
  },
  { name: "C.2.4: indexed field", tableSize: 4096, blocks: [["82", [":method: GET"]]] },
  {
    name: "C.3: requests without Huffman coding",
    tableSize: 4096,
    blocks: [
      ["828684410f7777772e6578616d706c652e636f6d", GET],
      ["828684be58086e6f2d6361636865", [...GET, "cache-control: no-cache"]],
      [
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        [
          ":method: GET",
          ":scheme: https",
          ":path: /index.html",
          ":authority: www.example.com",
          "custom-key: custom-value",
        ],
      ],
    ],
  },
  {
    name: "C.4: requests with Huffman coding",
    tableSize: 4096,
    blocks: [
      ["828684418cf1e3c2e5f23a6ba0ab90f4ff", GET],
      ["828684be5886a8eb10649cbf", [...GET, "cache-control: no-cache"]],
      [
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        [
          ":method: GET",
          ":scheme: https",
          ":path: /index.html",
          ":authority: www.example.com",
          "custom-key: custom-value",
        ],
      ],
    ],
  },
  {
    name: "C.5: responses without Huffman coding, with eviction",
    tableSize: 256,
    blocks: [
      [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
          "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        [":status: 302", "cache-control: private", `date: ${DATE_21}`, LOCATION],
      ],
      ["4803333037c1c0bf", [":status: 307", "cache-control: private", `date: ${DATE_21}`, LOCATION]],
      [
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153" +
          "444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        [":status: 200", "cache-control: private", `date: ${DATE_22}`, LOCATION, "content-encoding: gzip", COOKIE],
      ],
    ],
  },
  {
    name: "C.6: responses with Huffman coding, with eviction",
    tableSize: 256,
    blocks: [
      [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        [":status: 302", "cache-control: private", `date: ${DATE_21}`, LOCATION],
      ],
      ["4883640effc1c0bf", [":status: 307", "cache-control: private", `date: ${DATE_21}`, LOCATION]],
      [
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960" +
          "d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        [":status: 200", "cache-control: private", `date: ${DATE_22}`, LOCATION, "content-encoding: gzip", COOKIE],
      ],
    ],
  },
];

describe("HpackDecoder", () => {
  for (const { name, tableSize, blocks } of examples)
    test(`decodes RFC 7541 ${name}`, () => {
      const decoder = new HpackDecoder({ tableSizeMax: tableSize, listSizeMax: LIMIT });
      for (const [hex, fields] of blocks) assert.deepEqual(decode(decoder, hex), fields);
    });

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
