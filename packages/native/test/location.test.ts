import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { NativeError } from "@k3s/native";
import { locate } from "../src/location.ts";

function folders(t: TestContext): { readonly module: string; readonly out: string } {
  const root = mkdtempSync(join(tmpdir(), "native-"));
  t.after(() => rmSync(root, { recursive: true }));
  const module = join(root, "src");
  const out = join(root, "out");
  mkdirSync(module);
  mkdirSync(out);
  return { module, out };
}

describe("locate()", () => {
  test("prefers the folder of the running module, as in a bundle", (t) => {
    const { module, out } = folders(t);
    for (const folder of [module, out]) writeFileSync(join(folder, "part"), "");
    assert.equal(locate("part", module), join(module, "part"));
  });

  test("falls back to out/ of the source tree", (t) => {
    const { module, out } = folders(t);
    writeFileSync(join(out, "part"), "");
    assert.equal(locate("part", module), join(out, "part"));
  });

  test("says what to run when the part is not built", (t) => {
    const { module } = folders(t);
    assert.throws(
      () => locate("part", module),
      (error) =>
        error instanceof NativeError &&
        error.code === "ERR_NATIVE_NOT_BUILT" &&
        error.hint?.includes("node packages/native/build.ts") === true,
    );
  });
});

describe("build.ts", () => {
  test("builds nothing when it is up to date", async () => {
    const build = () => promisify(execFile)(process.execPath, [join(import.meta.dirname, "../build.ts")]);
    await build();
    assert.equal((await build()).stdout, "");
  });
});
