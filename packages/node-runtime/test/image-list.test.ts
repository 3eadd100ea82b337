import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isImageList, parseImageList } from "../src/image-list.ts";

const DIGEST = `sha256:${"0a".repeat(32)}`;

describe("parseImageList()", () => {
  for (const [line, reference] of [
    ["busybox", "docker.io/library/busybox:latest"],
    ["  rancher/mirrored-pause:3.10.2\r", "docker.io/rancher/mirrored-pause:3.10.2"],
    ["localhost:5000/a__b/c-d.e:V1_x", "localhost:5000/a__b/c-d.e:V1_x"],
    ["Registry.example/a:1", "Registry.example/a:1"],
    [`quay.io/a/b@${DIGEST}`, `quay.io/a/b@${DIGEST}`],
    [`quay.io/a/b:1@${DIGEST}`, `quay.io/a/b@${DIGEST}`],
    [`host:5000/b:1@${DIGEST}`, `host:5000/b@${DIGEST}`],
  ] as const)
    test(`reads ${JSON.stringify(line)}`, () =>
      assert.deepEqual(parseImageList(`${line}\n`), { references: [reference], wrong: [] }));

  for (const line of ["Busy/Box", "a b", "http://example.org/a:1", "a/b:", "a@sha256:1", "a/../b", "-a", "a//b"])
    test(`refuses ${JSON.stringify(line)}`, () =>
      assert.deepEqual(parseImageList(`\n${line}`), { references: [], wrong: [{ line: 2, text: line }] }));

  test("takes each image once, and leaves empty lines and remarks out", () => {
    const { references, wrong } = parseImageList("# all\n\nbusybox\n\t\nbusybox:latest\ndocker.io/library/busybox\n#x");
    assert.deepEqual(references, ["docker.io/library/busybox:latest"]);
    assert.deepEqual(wrong, []);
  });

  test("knows lists by their name", () => {
    assert.deepEqual(["a.txt", "x/b.txt", "a.tar", ".txt.tmp"].map(isImageList), [true, true, false, false]);
  });
});
