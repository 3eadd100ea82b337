import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { txnOp, type Kv, type RangeArgs } from "@k3s/testkit";
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

  /** Creates c, a, b; then b is changed twice and a once. Gives the names of what a range finds. */
  const prepareOrder = async (t: TestContext) => {
    const made = await start(t);
    const { client, key } = made;
    const writes = { c: ["2"], a: ["9"], b: ["5", "4"] };
    for (const [name, values] of Object.entries(writes))
      for (const value of values) await client.put({ key: key(name), value });
    await client.put({ key: key("a"), value: "1" });
    await client.put({ key: key("b"), value: "0" });
    const all = { key: key(), end: key("\xff") };
    const order = async (args: Partial<RangeArgs>) =>
      names((await client.range({ ...all, ...args })).kvs).map((name) => name.slice(key().length));
    return { ...made, all, order };
  };

  test("P11 sort: by every target, in every order", async (t) => {
    const { differs, order } = await prepareOrder(t);
    // Order NONE 0, ASCEND 1, DESCEND 2; target KEY 0, VERSION 1, CREATE 2, MOD 3, VALUE 4.
    const sorted = ["a b c", "c a b", "c a b", "c a b", "b a c"].map((text) => text.split(" "));
    for (const [target, up] of sorted.entries()) {
      const down = up.toReversed();
      assert.deepEqual(await order({ sort: [1, target] }), up, `ascending by ${target}`);
      assert.deepEqual(await order({ sort: [2, target] }), down, `descending by ${target}`);
      assert.deepEqual(await order({ sort: [1, target], limit: 2 }), up.slice(0, 2), `ascending by ${target}, limited`);
      assert.deepEqual(
        await order({ sort: [2, target], limit: 1 }),
        down.slice(0, 1),
        `descending by ${target}, limited`,
      );
      assert.deepEqual(await order({ sort: [1, target], keysOnly: true }), up, `keys only by ${target}`);
    }
    for (const sort of differs("sort unchecked")
      ? []
      : ([
          [3, 0],
          [1, 5],
        ] as const))
      await refuses(order({ sort }), "INVALID_ARGUMENT", "etcdserver: invalid sort option");
  });

  test("P11 sort without an order: ascending among the first keys that the limit lets in", async (t) => {
    const { all, client, key, order } = await prepareOrder(t);
    // etcd looks at one key more than the limit, in the order of keys, and sorts those.
    const one = ["a", "a", "a", "a", "b"];
    for (const [target, up] of ["a b c", "c a b", "c a b", "c a b", "b a c"].map((text) => text.split(" ")).entries()) {
      assert.deepEqual(await order({ sort: [0, target] }), up, `by ${target}`);
      assert.deepEqual(await order({ sort: [0, target], limit: 2 }), up.slice(0, 2), `by ${target}, two of three`);
      assert.deepEqual(await order({ sort: [0, target], limit: 1 }), [one[target]], `by ${target}, one of two`);
    }
    const { kvs, more, count } = await client.range({ ...all, sort: [0, 4], limit: 1 });
    assert.deepEqual([kvs[0]?.value, more, count], ["0", true, 3]);
    // A filter makes it look at all of them.
    const [first] = (await client.range({ key: key("c") })).kvs;
    assert.deepEqual(await order({ sort: [0, 2], limit: 1, minCreate: first?.create ?? 0 }), ["c"]);
    const nested = await client.txn({ success: [txnOp.range({ ...all, sort: [0, 2], limit: 1 })] });
    assert.deepEqual(names(nested.responses[0]?.kvs ?? []), [key("a")]);
  });

  test("P11 min, max, serializable: implemented", async (t) => {
    const { all, client, key, order } = await prepareOrder(t);
    const { kvs } = await client.range(all);
    const [a, b, c] = kvs.map(({ mod, create }) => ({ mod, create }));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    assert.deepEqual(await order({ minMod: a.mod }), ["a", "b"]);
    assert.deepEqual(await order({ maxMod: a.mod }), ["a", "c"]);
    assert.deepEqual(await order({ minMod: b.mod, maxMod: b.mod }), ["b"]);
    assert.deepEqual(await order({ minCreate: a.create }), ["a", "b"]);
    assert.deepEqual(await order({ maxCreate: a.create, sort: [2, 0] }), ["c", "a"]);
    assert.deepEqual(await order({ maxCreate: c.create, minMod: c.mod + 1 }), []);
    const filtered = await client.range({ ...all, maxMod: a.mod, limit: 1 });
    assert.deepEqual([names(filtered.kvs), filtered.count, filtered.more], [[key("a")], 3, true]);
    assert.deepEqual(await order({ serializable: true }), ["a", "b", "c"]);
    assert.deepEqual(await order({ serializable: true, limit: 1, revision: a.mod }), ["a"]);
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
