import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertUnique, formatErrorReference, readErrors } from "../src/error-reference.ts";
import { formatFlagReference } from "../src/flag-reference.ts";

const root = join(import.meta.dirname, "../..");
const STALE = "the page is older than its source: run node build/src/docs.ts";

describe("docs", () => {
  test("docs/flags.md is what the table of settings says", () => {
    assert.equal(readFileSync(join(root, "docs/flags.md"), "utf8"), formatFlagReference(), STALE);
  });

  test("docs/errors.md is what the sources say", () => {
    assert.equal(readFileSync(join(root, "docs/errors.md"), "utf8"), formatErrorReference(root), STALE);
  });

  test("docs/errors.md names every code that any source creates", () => {
    const page = formatErrorReference(root);
    const sources = globSync(["packages/*/src/**/errors.ts", "cmd/*/src/**/errors.ts"], { cwd: root });
    const codes = sources.flatMap((file) => readFileSync(join(root, file), "utf8").match(/"ERR_[A-Z_]+"/g) ?? []);
    assert.ok(codes.length > 20);
    assert.deepEqual(
      codes.filter((code) => !page.includes(`### ${code.slice(1, -1)}\n`)),
      [],
    );
  });
});

describe("assertUnique()", () => {
  const error = { code: "ERR_A", place: "packages/x", message: "Cannot a", hint: undefined };

  test("refuses a code that two errors are made with, in one package or in two", () => {
    assertUnique([error, { ...error, code: "ERR_B" }]);
    assert.throws(() => assertUnique([error, error]), /Cannot list ERR_A: packages\/x and packages\/x/);
    assert.throws(() => assertUnique([error, { ...error, place: "packages/y" }]), /packages\/x and packages\/y/);
  });
});

describe("readErrors()", () => {
  const read = (body: string) => readErrors("packages/x/src/errors.ts", body)[0];

  test("reads code, message and hint of a constructor call, with values in angle brackets", () => {
    const found = read(
      'const HINT = "Do it"; class A { static a(p: { n: string }) { const message = `Cannot "${p.n}": x`; return new A("ERR_A", message, { hint: HINT }); } }',
    );
    assert.deepEqual(found, { code: "ERR_A", place: "packages/x", message: 'Cannot "<n>": x', hint: "Do it" });
  });

  test("passes over a code that is only compared", () => {
    assert.equal(read('const isA = (error) => error.code === "ERR_A";'), undefined);
  });

  test("reads them from an object, too", () => {
    const found = read(
      'const HINT = "Do it"; f({ code: "ERR_B", message: `Cannot ${g(size)}`, hint: `${HINT} now` });',
    );
    assert.deepEqual(found, { code: "ERR_B", place: "packages/x", message: "Cannot <size>", hint: "Do it now" });
  });
});
