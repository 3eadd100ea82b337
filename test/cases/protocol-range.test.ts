import assert from "node:assert/strict";
import { test } from "node:test";
import type { Kv, RangeArgs } from "@k3s/testkit";
import { BruteForce } from "./support/brute-force.ts";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { COMPACTED, FUTURE, refuses } from "./support/expect.ts";

const names = (kvs: readonly Kv[]) => kvs.map(({ key }) => key);

/** Always the same numbers from 0 to below `below`. */
function createDice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Puts and deletes keys in random order, and says what the store held at each revision. */
async function writeHistory(client: CaseClient, keys: readonly string[], dice: ReturnType<typeof createDice>) {
  const truth = new BruteForce();
  for (let i = 0; i < 150; i++) {
    const key = keys[dice(keys.length)] ?? "";
    const isDelete = truth.has(key) && dice(3) === 0;
    const { header } = isDelete ? await client.delete({ key }) : await client.put({ key, value: `v${i}` });
    truth.apply(header.revision, key, isDelete ? undefined : `v${i}`);
  }
  return truth;
}

/** Asks a few at a time and compares every part of each answer. */
async function compareAll(client: CaseClient, truth: BruteForce, queries: readonly RangeArgs[]): Promise<void> {
  const check = async (query: RangeArgs) => {
    const { kvs, more, count } = await client.range(query);
    const actual = { kvs: kvs.map(({ key, value }) => [key, value]), more: more ?? false, count: count ?? 0 };
    assert.deepEqual(actual, truth.range(query), JSON.stringify(query));
  };
  for (let i = 0; i < queries.length; i += 50) await Promise.all(queries.slice(i, i + 50).map(check));
}

onEachServer((start) => {
  test("P5 exact count: as brute force for all ranges, limits and revisions", async (t) => {
    const { client, key } = await start(t);
    const dice = createDice(5);
    const tails = [
      "",
      "\0",
      "\0\0",
      "a",
      "a\0",
      "aa",
      "a\xff",
      "a/",
      "a/b",
      "b",
      "b\xff\xff",
      "é",
      "z",
      "\xff",
      "\xff\xff",
    ];
    const keys = tails.map((tail) => key(`k${tail}`));
    const truth = await writeHistory(client, keys, dice);
    const bounds = [...keys, key(), key("k\x01"), key("l")];
    const pick = <T>(from: readonly T[]) => from[dice(from.length)];
    const queries = Array.from({ length: 600 }, (): RangeArgs => ({
      key: pick(bounds) ?? "",
      end: dice(5) === 0 ? "" : (pick(bounds) ?? ""),
      limit: dice(3) === 0 ? 0 : 1 + dice(6),
      revision: dice(4) === 0 ? 0 : (pick(truth.revisions) ?? 0),
    }));
    await compareAll(client, truth, queries);
    for (const query of queries.slice(0, 100)) {
      const { kvs, count = 0, more = false } = await client.range({ ...query, countOnly: true });
      assert.deepEqual([kvs.length, count, more], [0, truth.range(query).count, false], JSON.stringify(query));
    }
  });

  test("P6 more: true only if a further key exists", async (t) => {
    const { client, key } = await start(t);
    for (const name of ["a", "b", "c"]) await client.put({ key: key(name) });
    const more = async (limit: number) => (await client.range({ key: key(), end: key("\xff"), limit })).more ?? false;
    assert.deepEqual(await Promise.all([0, 1, 2, 3, 4].map(more)), [false, true, true, false, false]);
    const past = await client.range({ key: key("c"), end: key("\xff"), limit: 1 });
    assert.deepEqual([past.more ?? false, past.count], [false, 1]);
    await client.delete({ key: key("c") });
    assert.equal(await more(2), false);
  });

  test("P7 continue key with trailing NUL: first key after, none skipped or repeated", async (t) => {
    const { client, key } = await start(t);
    const expected = ["a", "a\0", "a\0\0", "a\x01", "aa", "b", "b\0c", "c"].map(key).sort();
    for (const name of expected.toReversed()) await client.put({ key: name });
    for (const limit of [1, 2, 3]) {
      const { header } = await client.range({ key: key("a") });
      const found: string[] = [];
      for (let from = key(), more = true; more; from = `${found.at(-1) ?? ""}\0`) {
        const page = await client.range({ key: from, end: key("\xff"), limit, revision: header.revision });
        assert.equal(page.count, expected.length - found.length);
        found.push(...names(page.kvs));
        more = page.more ?? false;
      }
      assert.deepEqual(found, expected);
    }
  });

  test("P8 limit 1 on a single key: accepted", async (t) => {
    const { client, key } = await start(t);
    await client.put({ key: key("a"), value: "1" });
    await client.put({ key: key("ab"), value: "2" });
    const { kvs, count, more = false } = await client.range({ key: key("a"), limit: 1 });
    assert.deepEqual([names(kvs), count, more], [[key("a")], 1, false]);
  });

  test("P9 count_only, keys_only: no kvs, and kvs without values", async (t) => {
    const { client, key } = await start(t);
    const { id } = await client.grant(60);
    for (const name of ["a", "b", "c"]) await client.put({ key: key(name), value: "value", lease: id });
    await client.put({ key: key("b"), value: "newer", lease: id });
    const all = { key: key(), end: key("\xff") };
    const counted = await client.range({ ...all, countOnly: true, limit: 1 });
    assert.deepEqual([counted.count, counted.kvs.length], [3, 0]);
    const { kvs: full } = await client.range(all);
    const { kvs, count, more } = await client.range({ ...all, keysOnly: true, limit: 2 });
    assert.deepEqual(
      kvs,
      full.slice(0, 2).map((kv) => ({ ...kv, value: "" })),
    );
    assert.deepEqual([count, more, kvs[1]?.version, kvs[1]?.lease], [3, true, 2, id]);
  });

  test("P10 from-key and all-keys ranges: as etcd", async (t) => {
    const { client } = await start(t);
    const before = await client.range({ key: "\0", end: "\0", countOnly: true });
    // Nothing else is written behind here.
    const mine = ["\xff/10/a", "\xff/10/b", "\xff/10/c", "\xff\xff"];
    for (const key of mine) await client.put({ key });
    const all = await client.range({ key: "\0", end: "\0" });
    assert.equal(all.count, (before.count ?? 0) + mine.length);
    assert.deepEqual(names(all.kvs).slice(-mine.length), mine);
    assert.deepEqual(names(all.kvs), names(all.kvs).sort());
    assert.deepEqual(names((await client.range({ key: "\xff/10/b", end: "\0" })).kvs), mine.slice(1));
    assert.deepEqual(names((await client.range({ key: "\xff\xff", end: "\0" })).kvs), mine.slice(3));
    for (const [key, end] of [
      ["\xff/10/b", "\xff/10/b"],
      ["\xff/10/c", "\xff/10/a"],
    ] as const)
      assert.deepEqual(
        [(await client.range({ key, end })).kvs, (await client.range({ key, end })).count ?? 0],
        [[], 0],
      );
    await refuses(client.range({ key: "", end: "\0" }), "INVALID_ARGUMENT", "etcdserver: key is not provided");
    assert.equal((await client.delete({ key: "\xff", end: "\0" })).deleted, mine.length);
  });

  test("P11 sort, min, max, serializable: implemented", async (t) => {
    const { client, differs, key } = await start(t);
    // Created c, a, b; then b is changed twice and a once.
    for (const [name, value] of ["c2", "a9", "b5", "b4", "a1", "b0"].map((text) => [...text]))
      await client.put({ key: key(name), value: value ?? "" });
    const all = { key: key(), end: key("\xff") };
    const order = async (args: Partial<RangeArgs>) =>
      (await client.range({ ...all, ...args })).kvs.map((kv) => kv.key.slice(key().length)).join("");
    // Order NONE 0, ASCEND 1, DESCEND 2; target KEY 0, VERSION 1, CREATE 2, MOD 3, VALUE 4.
    const expected = ["abc", "cab", "cab", "cab", "bac"];
    for (const [target, text] of expected.entries()) {
      assert.equal(await order({ sort: [1, target] }), text, `ascending by ${target}`);
      assert.equal(await order({ sort: [2, target] }), [...text].reverse().join(""), `descending by ${target}`);
      assert.equal(await order({ sort: [2, target], limit: 2 }), [...text].reverse().join("").slice(0, 2));
      assert.equal(await order({ sort: [0, target] }), text, `no order by ${target}`);
      assert.equal(await order({ sort: [0, target], limit: 2 }), text.slice(0, 2), `no order by ${target}, limited`);
      assert.equal(await order({ sort: [1, target], keysOnly: true }), text, `keys only by ${target}`);
    }
    for (const sort of differs("sort unchecked")
      ? []
      : ([
          [3, 0],
          [1, 5],
        ] as const))
      await refuses(order({ sort }), "INVALID_ARGUMENT", "etcdserver: invalid sort option");

    const { kvs } = await client.range(all);
    const [a, b, c] = kvs;
    assert.equal(await order({ minMod: a?.mod ?? 0 }), "ab");
    assert.equal(await order({ maxMod: a?.mod ?? 0 }), "ac");
    assert.equal(await order({ minMod: b?.mod ?? 0, maxMod: b?.mod ?? 0 }), "b");
    assert.equal(await order({ minCreate: a?.create ?? 0 }), "ab");
    assert.equal(await order({ maxCreate: a?.create ?? 0, sort: [2, 0] }), "ca");
    assert.equal(await order({ maxCreate: c?.create ?? 0, minMod: (c?.mod ?? 0) + 1 }), "");
    const filtered = await client.range({ ...all, maxMod: a?.mod ?? 0, limit: 1 });
    assert.deepEqual([names(filtered.kvs), filtered.count, filtered.more], [[key("a")], 3, true]);
    assert.equal(await order({ serializable: true }), "abc");
    assert.equal(await order({ serializable: true, limit: 1, revision: a?.mod ?? 0 }), "a");
  });

  test("P12 compacted and future revisions: refused with etcd's code and text", async (t) => {
    const { client, key } = await start(t);
    const first = await client.put({ key: key("a"), value: "1" });
    const second = await client.put({ key: key("a"), value: "2" });
    await client.compact(second.header.revision);
    const at = (revision: number) => client.range({ key: key("a"), revision });
    await refuses(at(first.header.revision), "OUT_OF_RANGE", COMPACTED);
    await refuses(at(1), "OUT_OF_RANGE", COMPACTED);
    await refuses(at(second.header.revision + 1), "OUT_OF_RANGE", FUTURE);
    await refuses(at(2 ** 50), "OUT_OF_RANGE", FUTURE);
    assert.equal((await at(-1)).kvs[0]?.value, "2");
  });

  test("P13 read at exactly the compacted revision: works", async (t) => {
    const { client, key } = await start(t);
    await client.put({ key: key("old"), value: "1" });
    await client.put({ key: key("gone"), value: "1" });
    const { header } = await client.delete({ key: key("gone") });
    await client.put({ key: key("old"), value: "2" });
    await client.compact(header.revision);
    const { kvs, count } = await client.range({ key: key(), end: key("\xff"), revision: header.revision });
    assert.deepEqual([kvs.map(({ value }) => value), count], [["1"], 1]);
    const later = await client.range({ key: key("old"), revision: header.revision + 1 });
    assert.equal(later.kvs[0]?.value, "2");
  });
});
