import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RowSpan } from "@k3s/datastore";
import { RowAssembler, type SettledRow } from "../src/row-assembler.ts";
import { formatNote, formatRowHeader, parseNote, parseRowHeader, type RowHeader } from "../src/row-header.ts";
import { gapRecord, type RowRecord } from "../src/row-record.ts";

interface Options {
  readonly span?: RowSpan;
  readonly deleted?: boolean;
  readonly writer?: string;
}

function message(id: number, name: string, { span, deleted = false, writer = "us" }: Options = {}): RowRecord {
  const head = { id, name, created: false, deleted, createRevision: 1, prevRevision: 0, ttlSeconds: 0 };
  return { kind: "row", head, lease: 0n, span, note: undefined, writer, isTakeBack: false };
}

/** What comes out of all messages: names by id, with the span's end where a row has one. */
function assemble(records: readonly RowRecord[]): { readonly rows: string[]; readonly assembler: RowAssembler } {
  const assembler = new RowAssembler();
  const settled = records.flatMap((record) => assembler.add(record));
  return { rows: settled.map(nameOf), assembler };
}

function nameOf({ head, span }: SettledRow): string {
  return `${head.id} ${head.name}${span ? ` @${span.last}` : ""}`;
}

const span = { first: 5, last: 7 };

describe("RowAssembler.add()", () => {
  const cases: readonly (readonly [
    title: string,
    records: readonly RowRecord[],
    rows: readonly string[],
    voids: readonly number[],
  ])[] = [
    ["gives single rows at once", [message(1, "/a"), message(2, "/b")], ["1 /a", "2 /b"], []],
    [
      "gives a transaction when its last row is there",
      [message(5, "/a", { span }), message(6, "/b", { span }), message(7, "/c", { span })],
      ["5 /a @7", "6 /b @7", "7 /c @7"],
      [],
    ],
    [
      "gives nothing while rows are missing at the end",
      [message(5, "/a", { span }), message(6, "/b", { span })],
      [],
      [],
    ],
    [
      "makes gaps of the rows of a transaction that another message ends",
      [message(5, "/a", { span }), message(6, "/z"), message(7, "/y")],
      ["5 gap-5", "6 /z", "7 /y"],
      [5],
    ],
    [
      "takes missing rows of a transaction for removed ones",
      [message(6, "/b", { span }), message(9, "/z")],
      ["6 /b @7", "9 /z"],
      [],
    ],
    [
      "knows a void row that a later one has replaced",
      [message(5, "/a", { span }), message(6, "/a")],
      ["5 gap-5", "6 /a"],
      [],
    ],
    [
      "keeps transactions apart that follow each other",
      [
        message(5, "/a", { span: { first: 5, last: 6 } }),
        message(7, "/b", { span: { first: 7, last: 8 } }),
        message(8, "/c", { span: { first: 7, last: 8 } }),
      ],
      ["5 /a @6", "7 /b @8", "8 /c @8"],
      [],
    ],
    [
      "takes kine's delete marker for a part of its tombstone",
      [message(1, "/a", { writer: "", deleted: true }), message(2, "/b"), { kind: "marker", id: 3, name: "/a" }],
      ["1 /a", "2 /b", "3 gap-3"],
      [],
    ],
    [
      "takes a delete marker without tombstone for a deletion",
      [message(1, "/a"), { kind: "marker", id: 2, name: "/a" }],
      ["1 /a", "2 /a"],
      [],
    ],
    ["passes over what is nobody's key", [gapRecord(4)], ["4 gap-4"], []],
    [
      "makes gaps of the rows of a transaction that ends with a message which is nobody's key",
      [message(5, "/a", { span }), gapRecord(6)],
      ["5 gap-5", "6 gap-6"],
      [5],
    ],
  ];
  for (const [title, records, rows, voids] of cases)
    test(title, () => {
      const result = assemble(records);
      assert.deepEqual(result.rows, rows);
      assert.deepEqual(
        result.assembler.voids.map(({ id }) => id),
        voids,
      );
    });

  test("gives a transaction up only when told so", () => {
    const { assembler } = assemble([message(5, "/a", { span })]);
    assert.deepEqual(
      assembler.giveUp().map(({ head }) => head.name),
      ["gap-5"],
    );
    assert.deepEqual([assembler.open, assembler.voids], [[], [{ id: 5, name: "/a" }]]);
  });
});

describe("RowAssembler.missing()", () => {
  const open = [message(5, "/a", { span })];
  const cases: readonly (readonly [
    title: string,
    upTo: number,
    more: readonly RowRecord[],
    rows: readonly string[],
  ])[] = [
    ["leaves a transaction open whose other rows may follow", 6, [], []],
    ["lets a transaction go on behind it", 6, [message(7, "/c", { span })], ["5 /a @7", "7 /c @7"]],
    ["completes a transaction whose last row is gone", 7, [], ["5 /a @7", "7 gap-7"]],
    ["completes a transaction behind its end", 9, [], ["5 /a @7", "9 gap-9"]],
  ];
  for (const [title, upTo, more, rows] of cases)
    test(title, () => {
      const assembler = new RowAssembler();
      const settled = [
        ...open.flatMap((record) => assembler.add(record)),
        ...assembler.missing(upTo),
        ...more.flatMap((record) => assembler.add(record)),
      ];
      assert.deepEqual(settled.map(nameOf), rows);
      assert.deepEqual(assembler.voids, []);
    });

  test("is a gap where no transaction is open", () => {
    assert.deepEqual(new RowAssembler().missing(4).map(nameOf), ["4 gap-4"]);
  });
});

/** Ids at both ends of 64 bits with a sign, and negative ones with few digits. */
const SIGNED_LEASES = [-1n, -5n, -(2n ** 63n), 2n ** 63n - 1n];

describe("parseRowHeader()", () => {
  const plain: RowHeader = {
    kind: "u",
    createRevision: 2 ** 52,
    prevRevision: 17,
    ttlSeconds: 9_000_000_000,
    lease: 0x7fff_ffff_ffff_ffffn,
    span: { first: 18, last: 20 },
    writer: "0a1b2c3d",
  };
  test("is the inverse of formatRowHeader()", () => {
    for (const row of [plain, { ...plain, span: undefined, lease: 0n, kind: "d" as const }])
      assert.deepEqual(parseRowHeader(formatRowHeader(row)), row);
  });

  for (const lease of SIGNED_LEASES)
    test(`gives back lease ${lease}`, () => {
      assert.equal(parseRowHeader(formatRowHeader({ ...plain, lease }))?.lease, lease);
    });

  test("reads positive leases as they have always been written", () => {
    const text = "u 2 1 0 4d - w";
    const row = parseRowHeader(text) ?? assert.fail();
    assert.equal(row.lease, 77n);
    assert.equal(formatRowHeader(row), text);
  });

  test("knows what is none", () => {
    for (const text of ["", "u 1 2", `${formatRowHeader(plain)} more`, "q 1 2 3 4 - w", "u 1 2 3 x - w"])
      assert.equal(parseRowHeader(text), undefined);
  });
});

describe("parseNote()", () => {
  test("is the inverse of formatNote()", () => {
    const note = {
      leases: [
        { id: 255n, ttlSeconds: 60, expiresAtMs: 7 },
        { id: 1n, ttlSeconds: 1, expiresAtMs: 0 },
      ],
      endedLeases: [16n],
    };
    assert.deepEqual(parseNote(formatNote(note)), note);
    assert.equal(parseNote(""), undefined);
    assert.deepEqual(parseNote("-x 1:2 junk"), { leases: [], endedLeases: [] });
  });

  for (const id of SIGNED_LEASES)
    test(`gives back lease ${id}, granted and ended`, () => {
      const granted = { leases: [{ id, ttlSeconds: 60, expiresAtMs: 7 }], endedLeases: [] };
      const ended = { leases: [], endedLeases: [id] };
      assert.deepEqual(parseNote(formatNote(granted)), granted);
      assert.deepEqual(parseNote(formatNote(ended)), ended);
    });
});
