import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { editDistance, nearest } from "../src/suggest.ts";

describe("editDistance()", () => {
  const cases = [
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "abc", 0],
    ["abc", "acb", 1],
    ["kitten", "sitting", 3],
    ["token", "tokn", 1],
  ] as const;
  for (const [from, to, distance] of cases) {
    test(`"${from}" to "${to}" is ${distance}, both ways`, () => {
      assert.equal(editDistance(from, to), distance);
      assert.equal(editDistance(to, from), distance);
    });
  }
});

describe("nearest()", () => {
  const candidates = ["cluster-cidr", "cluster-dns", "token", "disable"];

  test("finds a slip of the pen", () => {
    assert.equal(nearest("cluster-cdir", candidates), "cluster-cidr");
    assert.equal(nearest("tokne", candidates), "token");
  });

  test("suggests nothing that has little in common", () => {
    assert.equal(nearest("foo", ["log", "token"]), undefined);
    assert.equal(nearest("xyz", candidates), undefined);
    assert.equal(nearest("rootless", candidates), undefined);
  });
});
