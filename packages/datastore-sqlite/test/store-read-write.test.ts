import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StoreError, type Op, type RangeResult, type Store, type StoreErrorReason } from "@k3s/datastore";
import { below, create, del, FROM_KEY, get, just, modIs, put, query, rangeOf, remove, update } from "./support/ops.ts";
import { emptyStore, storeAt, tempDatabase, tempStore } from "./support/temp-store.ts";

const keys = ({ kvs }: RangeResult) => kvs.map(({ key }) => key.toString("latin1"));
const values = ({ kvs }: RangeResult) => kvs.map(({ value }) => value.toString());
const reason = (expected: StoreErrorReason) => (error: unknown) =>
  error instanceof StoreError && error.reason === expected;

async function fill(store: Store, ...names: readonly string[]): Promise<void> {
  for (const name of names) await store.txn(create(name, name));
}

describe("Store.range()", () => {
  test("P4 starts at revision 1, as etcd, and without a key", async (t) => {
    const store = await emptyStore(t);
    const { kvs, revision } = await store.range(query({ key: FROM_KEY, rangeEnd: FROM_KEY }));
    assert.deepEqual([store.currentRevision, revision, kvs], [1, 1, []]);
    assert.equal((await store.txn(create("/a", "1"))).revision, 2);
  });

  test("answers limit, more and the exact count", async (t) => {
    const store = await tempStore(t);
    await fill(store, "/a/1", "/a/2", "/a/3", "/b/1");
    const page = await store.range(query(below("/a/"), { limit: 2 }));
    assert.deepEqual([keys(page), page.more, page.count, page.revision], [["/a/1", "/a/2"], true, 3, 6]);
    const rest = await store.range(query({ ...below("/a/"), key: Buffer.from("/a/2\0") }, { limit: 2 }));
    assert.deepEqual([keys(rest), rest.more, rest.count], [["/a/3"], false, 1]);
  });

  test("reads an older revision with its count while the header stays current", async (t) => {
    const store = await tempStore(t);
    await fill(store, "/a/1", "/a/2");
    await store.txn(update("/a/1", 3, "changed"));
    await store.txn(just(del("/a/2")));
    const old = await store.range(query(below("/a/"), { revision: 4 }));
    assert.deepEqual([values(old), old.count, old.revision], [["/a/1", "/a/2"], 2, 6]);
    const now = await store.range(query(below("/a/"), { limit: 1 }));
    assert.deepEqual([values(now), now.count, now.more], [["changed"], 1, false]);
  });

  const edges = [
    { name: "key at or after its end: nothing", range: rangeOf("/b", "/a"), expected: [] },
    {
      name: "end NUL: everything from the key on",
      range: { ...rangeOf("/a/2"), rangeEnd: FROM_KEY },
      expected: ["/a/2", "/b"],
    },
    { name: "single key", range: rangeOf("/b"), expected: ["/b"] },
    { name: "prefix of the key is another key", range: rangeOf("/a"), expected: [] },
  ];
  for (const { name, range, expected } of edges) {
    test(`range with ${name}`, async (t) => {
      const store = await emptyStore(t);
      await fill(store, "/a/1", "/a/2", "/b");
      assert.deepEqual(keys(await store.range(query(range))), expected);
    });
  }

  test("sorts and filters before the limit, and leaves the count alone", async (t) => {
    const store = await tempStore(t);
    await fill(store, "/a/1", "/a/2", "/a/3");
    await store.txn(update("/a/1", 3, "zzz"));
    const sorted = await store.range(query(below("/a/"), { limit: 2, sort: { target: "mod", descending: true } }));
    assert.deepEqual([keys(sorted), sorted.more, sorted.count], [["/a/1", "/a/3"], true, 3]);
    const byValue = await store.range(
      query(below("/a/"), { keysOnly: true, sort: { target: "value", descending: true } }),
    );
    assert.deepEqual(
      [keys(byValue), values(byValue)],
      [
        ["/a/1", "/a/3", "/a/2"],
        ["", "", ""],
      ],
    );
    const filtered = await store.range(query(below("/a/"), { minModRevision: 5, maxCreateRevision: 4 }));
    assert.deepEqual([keys(filtered), filtered.count], [["/a/1"], 3]);
  });

  test("counts only, or shows keys only", async (t) => {
    const store = await tempStore(t);
    await fill(store, "/a/1", "/a/2");
    const counted = await store.range(query(below("/a/"), { countOnly: true, limit: 1 }));
    assert.deepEqual([counted.kvs.length, counted.count, counted.more], [0, 2, false]);
    const [first] = (await store.range(query(below("/a/"), { keysOnly: true }))).kvs;
    assert.deepEqual(
      [first?.key.toString(), first?.value.length, first?.modRevision, first?.version],
      ["/a/1", 0, 3, 1],
    );
  });

  test("refuses empty keys, revisions that were compacted and those to come", async (t) => {
    const store = await tempStore(t);
    await fill(store, "/a/1", "/a/2");
    await store.compact(4);
    await assert.rejects(store.range(query(rangeOf(""))), reason("emptyKey"));
    await assert.rejects(store.range(query(rangeOf("/a/1"), { revision: 3 })), reason("compacted"));
    await assert.rejects(store.range(query(rangeOf("/a/1"), { revision: 5 })), reason("futureRevision"));
    assert.equal((await store.range(query(rangeOf("/a/1"), { revision: 4 }))).count, 1);
    assert.equal((await store.range(query(rangeOf("/a/1"), { revision: -1 }))).count, 1);
  });

  test("keeps any bytes as keys, in byte order", async (t) => {
    const store = await emptyStore(t);
    const odd = ["\0", "\0\x01", "123", "1e3", "compact_rev_key_apiserver", "gap-7", "\x80\xff", "\xc3\xa9"];
    await fill(store, ...odd.toReversed());
    assert.deepEqual(keys(await store.range(query({ ...rangeOf("\0"), rangeEnd: FROM_KEY }))), odd);
  });
});

describe("Store.txn()", () => {
  test("creates, updates and deletes as the API server asks, with versions", async (t) => {
    const store = await tempStore(t);
    const made = await store.txn(create("/a", "1"));
    assert.deepEqual([made.succeeded, made.revision], [true, 3]);
    assert.equal((await store.txn(create("/a", "2"))).succeeded, false);
    assert.equal((await store.txn(update("/a", 3, "2"))).revision, 4);
    const [kv] = (await store.range(query(rangeOf("/a")))).kvs;
    assert.deepEqual([kv?.version, kv?.createRevision, kv?.modRevision, kv?.value.toString()], [2, 3, 4, "2"]);
    assert.equal((await store.txn(remove("/a", 4))).revision, 5);
    await store.txn(create("/a", "3"));
    const [again] = (await store.range(query(rangeOf("/a")))).kvs;
    assert.deepEqual([again?.version, again?.createRevision, again?.modRevision], [1, 6, 6]);
  });

  test("shows the newer value when an update comes too late", async (t) => {
    const store = await tempStore(t);
    await store.txn(create("/a", "1"));
    const [, late] = await Promise.all([store.txn(update("/a", 3, "2")), store.txn(update("/a", 3, "3"))]);
    const [result] = late.results;
    assert.equal(late.succeeded, false);
    assert.deepEqual(result?.kind === "range" && [values(result.range), result.range.revision], [["2"], 4]);
  });

  const deletes = [
    { name: "of a missing key with revision 0", mod: 0, key: "/none", succeeded: true, revision: 3 },
    { name: "of a missing key with another revision", mod: 5, key: "/none", succeeded: false, revision: 3 },
    { name: "with the wrong revision", mod: 2, key: "/a", succeeded: false, revision: 3 },
    { name: "with the right revision", mod: 3, key: "/a", succeeded: true, revision: 4 },
  ];
  for (const { name, mod, key, succeeded, revision } of deletes) {
    test(`delete ${name}`, async (t) => {
      const store = await tempStore(t);
      await store.txn(create("/a", "1"));
      const result = await store.txn(remove(key, mod));
      assert.deepEqual([result.succeeded, result.revision, store.currentRevision], [succeeded, revision, revision]);
    });
  }

  test("gives several writes one revision and lets ranges see the writes before them", async (t) => {
    const store = await tempStore(t);
    await store.txn(create("/c", "old"));
    const done = await store.txn(just(put("/a", "1"), put("/b", "2"), get("/a"), del("/c", undefined, true)));
    const [, , seen, gone] = done.results;
    assert.equal(done.revision, store.currentRevision);
    assert.deepEqual(seen?.kind === "range" && [values(seen.range), seen.range.kvs[0]?.modRevision], [
      ["1"],
      done.revision,
    ]);
    assert.deepEqual(gone?.kind === "delete" && [gone.deleted, gone.prevKvs[0]?.value.toString()], [1, "old"]);
    const { kvs } = await store.range(query(rangeOf("/a", "/z")));
    assert.deepEqual(kvs.filter(({ modRevision }) => modRevision === done.revision).length, 2);
    assert.equal(kvs[0]?.createRevision, kvs[0]?.modRevision);
  });

  test("decides nested branches before any write, and reports them nested", async (t) => {
    const store = await tempStore(t);
    const inner = { compare: [modIs("/a", 0)], success: [put("/inner", "then")], failure: [put("/inner", "else")] };
    const done = await store.txn(just(put("/a", "1"), { kind: "txn", txn: inner }));
    const [, nested] = done.results;
    assert.equal(nested?.kind === "txn" && nested.txn.succeeded, true);
    assert.deepEqual(values(await store.range(query(rangeOf("/inner")))), ["then"]);
  });

  test("compares a value that has to be read first before it refuses what the other branch does", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    await fill(first, "/a");
    await first.close();
    const store = await storeAt(t, path);
    const isSame = { ...rangeOf("/a"), result: "equal", target: { field: "value", value: Buffer.from("/a") } } as const;
    const refused = put("/b", "", { lease: 99n });
    const { succeeded } = await store.txn({ compare: [isSame], success: [], failure: [refused] });
    assert.equal(succeeded, true);
  });

  test("compares ranges, values and leases", async (t) => {
    const store = await tempStore(t);
    await fill(store, "/a/1", "/a/2");
    const equal = "equal" as const;
    const all = { ...below("/a/"), result: "greater" as const, target: { field: "create" as const, value: 2 } };
    const value = {
      ...rangeOf("/a/1"),
      result: equal,
      target: { field: "value" as const, value: Buffer.from("/a/1") },
    };
    const missing = { ...rangeOf("/x"), result: "notEqual" as const, target: value.target };
    const lease = { ...rangeOf("/a/1"), result: equal, target: { field: "lease" as const, value: 0n } };
    const version = { ...rangeOf("/x"), result: "less" as const, target: { field: "version" as const, value: 1 } };
    const holds = async (...compare: Parameters<Store["txn"]>[0]["compare"]) =>
      (await store.txn({ compare, success: [], failure: [] })).succeeded;
    assert.equal(await holds(all, value, lease, version), true);
    assert.equal(await holds(missing), false);
    assert.equal(await holds({ ...all, target: { field: "create", value: 3 } }), false);
  });

  test("keeps value or lease when asked to, and refuses that for a missing key", async (t) => {
    const store = await tempStore(t);
    const { id } = await store.leaseGrant({ id: 0n, ttlSeconds: 60 });
    await store.txn(create("/a", "1", id));
    await store.txn(just(put("/a", "", { ignoreValue: true })));
    const [kept] = (await store.range(query(rangeOf("/a")))).kvs;
    assert.deepEqual([kept?.value.toString(), kept?.lease], ["1", 0n]);
    await store.txn(just(put("/a", "2", { lease: id })));
    const { results } = await store.txn(just(put("/a", "3", { ignoreLease: true, prevKv: true })));
    const [first] = results;
    assert.equal(first?.kind === "put" && first.prevKv?.value.toString(), "2");
    assert.equal((await store.range(query(rangeOf("/a")))).kvs[0]?.lease, id);
    await assert.rejects(store.txn(just(put("/none", "", { ignoreValue: true }))), reason("keyNotFound"));
  });

  const refused: { name: string; ops: readonly Op[]; reason: StoreErrorReason }[] = [
    { name: "129 operations", ops: Array.from({ length: 129 }, (_, i) => put(`/${i}`, "")), reason: "tooManyOps" },
    { name: "two puts of one key", ops: [put("/a", ""), put("/a", "")], reason: "duplicateKey" },
    { name: "a put inside a deleted range", ops: [put("/a/1", ""), del("/a/", "/a0")], reason: "duplicateKey" },
    {
      name: "a nested put of the same key",
      ops: [put("/a", ""), { kind: "txn", txn: just(put("/a", "")) }],
      reason: "duplicateKey",
    },
    { name: "an empty key", ops: [put("", "")], reason: "emptyKey" },
    { name: "a value beside ignoreValue", ops: [put("/a", "1", { ignoreValue: true })], reason: "valueProvided" },
    {
      name: "a lease beside ignoreLease",
      ops: [put("/a", "1", { ignoreLease: true, lease: 5n })],
      reason: "leaseProvided",
    },
    { name: "an unknown lease", ops: [put("/ok", "1"), put("/a", "1", { lease: 5n })], reason: "leaseNotFound" },
    { name: "a range of the future", ops: [put("/ok", "1"), get("/a", { revision: 99 })], reason: "futureRevision" },
  ];
  for (const row of refused) {
    test(`refuses ${row.name} and writes nothing`, async (t) => {
      const store = await tempStore(t);
      await assert.rejects(store.txn(just(...row.ops)), reason(row.reason));
      assert.equal(store.currentRevision, 2);
      assert.equal((await store.txn(create("/next", ""))).revision, 3);
    });
  }

  test("lets both branches of a nested transaction write one key", async (t) => {
    const store = await tempStore(t);
    const txn = { compare: [modIs("/a", 9)], success: [put("/a", "then")], failure: [put("/a", "else")] };
    await store.txn(just({ kind: "txn", txn }));
    assert.deepEqual(values(await store.range(query(rangeOf("/a")))), ["else"]);
  });

  test("exactly one of many writers wins each round, without holes", async (t) => {
    const store = await tempStore(t);
    await store.txn(create("/a", "0"));
    let mod = store.currentRevision;
    for (let round = 0; round < 20; round++) {
      const tries = await Promise.all(Array.from({ length: 64 }, (_, i) => store.txn(update("/a", mod, `${i}`))));
      const winners = tries.filter(({ succeeded }) => succeeded);
      assert.deepEqual([winners.length, winners[0]?.revision], [1, mod + 1]);
      mod = store.currentRevision;
    }
    assert.equal(mod, 23);
  });

  test("keeps the compaction key as kine does and counts its version", async (t) => {
    const store = await tempStore(t);
    const lock = (version: number, value: string) => ({
      compare: [
        {
          ...rangeOf("compact_rev_key"),
          result: "equal" as const,
          target: { field: "version" as const, value: version },
        },
      ],
      success: [put("compact_rev_key", value)],
      failure: [get("compact_rev_key")],
    });
    assert.equal((await store.txn(lock(0, "0"))).succeeded, true);
    assert.equal((await store.txn(lock(1, "17"))).succeeded, true);
    const lost = await store.txn(lock(1, "18"));
    const [result] = lost.results;
    const kv = result?.kind === "range" ? result.range.kvs[0] : undefined;
    assert.deepEqual([lost.succeeded, kv?.version, kv?.value.toString()], [false, 2, "17"]);
  });
});
