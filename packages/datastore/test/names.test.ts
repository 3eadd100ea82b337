import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isGapName, keyOfName, nameOfKey, packCompactValue, unpackCompactValue } from "../src/names.ts";

describe("nameOfKey()", () => {
  const cases = [
    { what: "keeps an ordinary key", key: "/registry/pods/a", name: "/registry/pods/a" },
    { what: "keeps UTF-8", key: Buffer.from("/é").toString("latin1"), name: "/é" },
    {
      what: "moves the API server's compaction key where kine keeps it",
      key: "compact_rev_key",
      name: "compact_rev_key_apiserver",
    },
    {
      what: "escapes kine's own name for that key",
      key: "compact_rev_key_apiserver",
      name: `escaped-key:${Buffer.from("compact_rev_key_apiserver").toString("hex")}`,
    },
    { what: "escapes the names of gap rows", key: "gap-5", name: "escaped-key:6761702d35" },
    { what: "escapes numbers, which old columns would convert", key: "1e3", name: "escaped-key:316533" },
    { what: "escapes NUL", key: "a\0", name: "escaped-key:6100" },
    { what: "escapes what is no UTF-8", key: "\xff\xfe", name: "escaped-key:fffe" },
    { what: "escapes its own escapes", key: "escaped-key:61", name: "escaped-key:657363617065642d6b65793a3631" },
  ];
  for (const { what, key, name } of cases) {
    test(what, () => {
      assert.equal(nameOfKey(key), name);
      assert.equal(keyOfName(name), key);
    });
  }
});

describe("isGapName()", () => {
  test("knows kine's gap rows from keys", () => {
    assert.deepEqual(["gap-17", "gap-", "/gap-17", "gap-x"].map(isGapName), [true, false, false, false]);
  });
});

describe("unpackCompactValue()", () => {
  const cases = [
    { stored: "3|17", version: 3, value: "17" },
    { stored: "3|a|b", version: 3, value: "a|b" },
    { stored: "4", version: 4, value: "0" },
    { stored: "junk", version: 1, value: "0" },
  ];
  for (const { stored, version, value } of cases) {
    test(`reads "${stored}" as version ${version}`, () => {
      const unpacked = unpackCompactValue(Buffer.from(stored));
      assert.deepEqual([unpacked.version, unpacked.value.toString()], [version, value]);
    });
  }

  test("gives back what packCompactValue() made", () => {
    const { version, value } = unpackCompactValue(packCompactValue(12, Buffer.from("345")));
    assert.deepEqual([version, value.toString()], [12, "345"]);
  });
});
