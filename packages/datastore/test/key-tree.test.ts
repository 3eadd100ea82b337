import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KeyTree } from "../src/key-tree.ts";
import type { Version } from "../src/version.ts";

function version(key: string, deleted = false): Version {
  return { key, row: 1, mod: 1, create: 1, version: 1, lease: 0n, deleted, previous: undefined, value: undefined };
}

function keysOf(tree: KeyTree, from: string, to: string | undefined): string[] {
  const found: string[] = [];
  tree.visit({ from, to }, ({ key }) => found.push(key) > 0);
  return found;
}

/** Numbers in an order that looks random and is always the same. */
function shuffled(count: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7919) % count);
}

const name = (i: number) => `/key/${String(i).padStart(5, "0")}`;

describe("KeyTree", () => {
  for (const count of [1, 64, 65, 5003]) {
    test(`keeps ${count} keys in byte order, whatever order they came in`, () => {
      const tree = new KeyTree();
      for (const i of shuffled(count)) tree.set(version(name(i)));
      const expected = Array.from({ length: count }, (_, i) => name(i));
      assert.deepEqual(keysOf(tree, "", undefined), expected);
      assert.equal(tree.countLive({ from: "", to: undefined }), count);
    });
  }

  test("countLive() is exact for every kind of range while keys come, die and go", () => {
    const tree = new KeyTree();
    const live = new Set<number>();
    for (const i of shuffled(3001)) {
      tree.set(version(name(i)));
      live.add(i);
      if (i % 3 === 0) tree.set(version(name(i), true));
      if (i % 3 === 0) live.delete(i);
    }
    for (const i of shuffled(3001)) if (i % 5 === 0) tree.delete(name(i));
    for (const i of [...live]) if (i % 5 === 0) live.delete(i);
    for (const [from, to] of [
      [0, 3001],
      [17, 18],
      [100, 2900],
      [2000, 1000],
      [64, 128],
    ] as const) {
      const expected = [...live].filter((i) => i >= from && i < to).length;
      assert.equal(tree.countLive({ from: name(from), to: name(to) }), expected, `${from} to ${to}`);
    }
  });

  test("visit() stops at the end of the range and where the visitor says so", () => {
    const tree = new KeyTree();
    for (const i of shuffled(1009)) tree.set(version(name(i)));
    assert.deepEqual(keysOf(tree, name(63), name(66)), [name(63), name(64), name(65)]);
    let seen = 0;
    tree.visit({ from: "", to: undefined }, () => ++seen < 5);
    assert.equal(seen, 5);
  });

  test("can be emptied and filled again", () => {
    const tree = new KeyTree();
    for (let round = 0; round < 2; round++) {
      for (const i of shuffled(1009)) tree.set(version(name(i)));
      for (const i of shuffled(1009).reverse()) tree.delete(name(i));
      assert.deepEqual([keysOf(tree, "", undefined), tree.countLive({ from: "", to: undefined })], [[], 0]);
    }
    tree.set(version("/a"));
    assert.equal(tree.get("/a")?.key, "/a");
    assert.equal(tree.get("/b"), undefined);
  });

  test("set() replaces the version of a key", () => {
    const tree = new KeyTree();
    tree.set(version("/a"));
    tree.set({ ...version("/a"), mod: 7 });
    assert.deepEqual([tree.get("/a")?.mod, keysOf(tree, "", undefined)], [7, ["/a"]]);
  });
});
