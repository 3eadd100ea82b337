import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HeaderList } from "../src/hpack/header-list.ts";
import { HpackDecoder } from "../src/hpack/hpack-decoder.ts";
import { HpackEncoder } from "../src/hpack/hpack-encoder.ts";

// RFC 7541, appendix C.

const LIMIT = 1 << 20;
const COMPRESSION_ERROR = 9;
const TABLE_SIZE = 4096;
const FIRST_DYNAMIC_INDEX = 62;

/** A header block, what it says, and the table behind it: newest first, each entry as text and size. */
interface Step {
  readonly hex: string;
  readonly fields: readonly string[];
  readonly table: readonly (readonly [field: string, size: number])[];
  readonly tableSize: number;
}

interface Example {
  readonly name: string;
  readonly tableSizeMax: number;
  /** Blocks of one connection in order. */
  readonly steps: readonly Step[];
}

const KEY = "custom-key: custom-value";
const AUTHORITY = ":authority: www.example.com";
const NO_CACHE = "cache-control: no-cache";
const GET = [":method: GET", ":scheme: http", ":path: /", AUTHORITY];
const GET_INDEX = [":method: GET", ":scheme: https", ":path: /index.html", AUTHORITY, KEY];

/** C.3 and C.4 differ in nothing but the bytes. */
function requests(name: string, [first = "", second = "", third = ""]: readonly string[]): Example {
  const steps: Step[] = [
    { hex: first, fields: GET, table: [[AUTHORITY, 57]], tableSize: 57 },
    {
      hex: second,
      fields: [...GET, NO_CACHE],
      table: [
        [NO_CACHE, 53],
        [AUTHORITY, 57],
      ],
      tableSize: 110,
    },
    {
      hex: third,
      fields: GET_INDEX,
      table: [
        [KEY, 54],
        [NO_CACHE, 53],
        [AUTHORITY, 57],
      ],
      tableSize: 164,
    },
  ];
  return { name, tableSizeMax: TABLE_SIZE, steps };
}

const PRIVATE = "cache-control: private";
const DATE_21 = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22 = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION = "location: https://www.example.com";
const GZIP = "content-encoding: gzip";
const COOKIE = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/** C.5 and C.6 as well. Their table is so small that entries are evicted. */
function responses(name: string, [first = "", second = "", third = ""]: readonly string[]): Example {
  const steps: Step[] = [
    {
      hex: first,
      fields: [":status: 302", PRIVATE, DATE_21, LOCATION],
      table: [
        [LOCATION, 63],
        [DATE_21, 65],
        [PRIVATE, 52],
        [":status: 302", 42],
      ],
      tableSize: 222,
    },
    {
      hex: second,
      fields: [":status: 307", PRIVATE, DATE_21, LOCATION],
      table: [
        [":status: 307", 42],
        [LOCATION, 63],
        [DATE_21, 65],
        [PRIVATE, 52],
      ],
      tableSize: 222,
    },
    {
      hex: third,
      fields: [":status: 200", PRIVATE, DATE_22, LOCATION, GZIP, COOKIE],
      table: [
        [COOKIE, 98],
        [GZIP, 52],
        [DATE_22, 65],
      ],
      tableSize: 215,
    },
  ];
  return { name, tableSizeMax: 256, steps };
}

function single(name: string, hex: string, field: string): Example {
  return { name, tableSizeMax: TABLE_SIZE, steps: [{ hex, fields: [field], table: [], tableSize: 0 }] };
}

const CUSTOM = "custom-key: custom-header";

const examples: readonly Example[] = [
  {
    name: "C.2.1: literal with indexing",
    tableSizeMax: TABLE_SIZE,
    steps: [
      {
        hex: "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
        fields: [CUSTOM],
        table: [[CUSTOM, 55]],
        tableSize: 55,
      },
    ],
  },
  single("C.2.2: literal without indexing", "040c2f73616d706c652f70617468", ":path: /sample/path"),
  single("C.2.3: literal never indexed", "100870617373776f726406736563726574", "password: secret"),
  single("C.2.4: indexed field", "82", ":method: GET"),
  requests("C.3: requests without Huffman coding", [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
  ]),
  requests("C.4: requests with Huffman coding", [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
  ]),
  responses("C.5: responses without Huffman coding, with eviction", [
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
      "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153" +
      "444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
  ]),
  responses("C.6: responses with Huffman coding, with eviction", [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960" +
      "d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ]),
];

const bytes = (hex: string) => Buffer.from(hex, "hex");

function decoderOf({ tableSizeMax }: Pick<Example, "tableSizeMax">): HpackDecoder {
  return new HpackDecoder({ tableSizeMax, listSizeMax: LIMIT });
}

/** The fields of a block as text and size. */
function decode(decoder: HpackDecoder, block: Buffer): [field: string, size: number][] | undefined {
  return decoder.decode(block)?.map(({ name, value, size }) => [`${name}: ${value}`, size]);
}

function textsOf(fields: ReturnType<typeof decode>): string[] | undefined {
  return fields?.map(([text]) => text);
}

/** The dynamic table behind `blocks`, by asking for one index after the other. */
function tableBehind(example: Pick<Example, "tableSizeMax">, blocks: readonly Buffer[]): Step["table"] {
  const decoder = decoderOf(example);
  for (const block of blocks) decoder.decode(block);
  const entries: [field: string, size: number][] = [];
  try {
    for (;;) entries.push(...(decode(decoder, Buffer.of(0x80 + FIRST_DYNAMIC_INDEX + entries.length)) ?? []));
  } catch (error) {
    assert.equal((error as { readonly code?: unknown }).code, COMPRESSION_ERROR);
    return entries;
  }
}

function sizeOf(table: Step["table"]): number {
  return table.reduce((sum, [, size]) => sum + size, 0);
}

function listOf(fields: readonly string[], isConstant: boolean): HeaderList {
  const pairs = fields.map((field): [string, string] => {
    const colon = field.indexOf(": ");
    return [field.slice(0, colon), field.slice(colon + 2)];
  });
  return new HeaderList(pairs, { isConstant });
}

describe("HpackDecoder and the RFC's examples", () => {
  for (const example of examples)
    test(`decodes ${example.name}, and has its table`, () => {
      const decoder = decoderOf(example);
      const blocks: Buffer[] = [];
      for (const { hex, fields, table, tableSize } of example.steps) {
        blocks.push(bytes(hex));
        assert.deepEqual(textsOf(decode(decoder, bytes(hex))), fields);
        const actual = tableBehind(example, blocks);
        assert.deepEqual(actual, table);
        assert.equal(sizeOf(actual), tableSize);
      }
    });
});

describe("HpackEncoder and the RFC's examples", () => {
  const encoderOf = ({ tableSizeMax }: Example) => {
    const encoder = new HpackEncoder();
    encoder.limitTable(tableSizeMax);
    return encoder;
  };
  for (const isConstant of [true, false])
    for (const example of examples)
      test(`the fields of ${example.name} come back, ${isConstant ? "indexed" : "not indexed"}`, () => {
        const [encoder, decoder] = [encoderOf(example), decoderOf(example)];
        const blocks: Buffer[] = [];
        for (const { fields, table } of example.steps) {
          const block = Buffer.from(encoder.encode(listOf(fields, isConstant)));
          blocks.push(block);
          assert.deepEqual(textsOf(decode(decoder, block)), fields);
          if (!isConstant) assert.deepEqual(tableBehind(example, blocks), []);
          else if (example.steps.length > 1) assert.deepEqual(tableBehind(example, blocks), table);
        }
      });

  // It indexes and uses Huffman's code, as these two do; but not for "307", which that makes no shorter.
  const plainly = (hex: string) => hex.replace(/^4883640eff/, "4803333037");
  for (const example of examples.filter(({ name }) => /^C\.[46]:/.test(name)))
    test(`makes the very bytes of ${example.name}`, () => {
      const encoder = encoderOf(example);
      // The RFC's table is of that size from the start; ours says so first.
      const resize = example.tableSizeMax === TABLE_SIZE ? "" : "3fe101";
      const made = example.steps.map(({ fields }) => encoder.encode(listOf(fields, true)).toString("hex"));
      const [first = "", ...others] = example.steps.map(({ hex }) => plainly(hex));
      assert.deepEqual(made, [`${resize}${first}`, ...others]);
    });
});

describe("integers of RFC 7541, C.1", () => {
  // A prefix of five bits is that of a new table size: it is accepted up to the size that was agreed, and no further.
  for (const { name, value, hex } of [
    { name: "C.1.1: 10 in five bits", value: 10, hex: "2a" },
    { name: "C.1.2: 1337 in five bits and more bytes", value: 1337, hex: "3f9a0a" },
  ]) {
    test(`${name} is read`, () => {
      assert.deepEqual(decode(decoderOf({ tableSizeMax: value }), bytes(`${hex}82`)), [[":method: GET", 42]]);
      const smaller = decoderOf({ tableSizeMax: value - 1 });
      assert.throws(() => decode(smaller, bytes(`${hex}82`)), { code: COMPRESSION_ERROR });
    });

    test(`${name} is written`, () => {
      const encoder = new HpackEncoder();
      encoder.limitTable(value);
      assert.equal(encoder.encode(listOf([":method: GET"], false)).toString("hex"), `${hex}82`);
    });
  }

  // No header block has a prefix of a whole byte. The length of a string that is not Huffman coded gives the same byte.
  const value = "!".repeat(42);
  const hex = `0001612a${"21".repeat(42)}`;

  test("C.1.3: 42 at the beginning of a byte is read", () => {
    assert.deepEqual(textsOf(decode(decoderOf({ tableSizeMax: TABLE_SIZE }), bytes(hex))), [`a: ${value}`]);
  });

  test("C.1.3: 42 at the beginning of a byte is written", () => {
    const block = new HpackEncoder().encode(listOf([`a: ${value}`], false)).toString("hex");
    assert.equal(block.slice(-hex.length + 6), hex.slice(6));
  });
});
