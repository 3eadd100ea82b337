import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { bundleProduct } from "../src/bundle.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Only packages/failpoints has them. */
const MACHINERY = ["k3s.failpoints", "Cannot go on: failpoint"];

/** The program and its workers as one text. */
async function bundle(t: TestContext, failpoints?: boolean): Promise<string> {
  const lib = await mkdtemp(join(tmpdir(), "k3s-bundle-"));
  t.after(() => rm(lib, { recursive: true, force: true }));
  const options = failpoints === undefined ? {} : { failpoints };
  await bundleProduct({ root: ROOT, out: lib, release: "k3s1", commit: "00000000", ...options });
  const names = await readdir(lib);
  assert.ok(
    names.includes("main.cjs") && names.includes("libraries.cjs") && names.some((name) => name.endsWith("-worker.js")),
    names.join(),
  );
  const text = (await Promise.all(names.map((name) => readFile(join(lib, name), "utf8")))).join("\n");
  return text.replaceAll("\\\n", ""); // strings are broken where a line would be too long
}

/** The names of all failpoints in the product, as they are written where they stand: something else may begin like one of them. */
async function failpointNames(): Promise<string[]> {
  const names: string[] = [];
  for (const folder of await readdir(join(ROOT, "packages"))) {
    const source = join(ROOT, "packages", folder, "src");
    for (const file of await readdir(source, { recursive: true }).catch(() => [])) {
      if (!file.endsWith(".ts")) continue;
      const text = await readFile(join(source, file), "utf8");
      names.push(...Array.from(text.matchAll(/\bfailpoint\("([^"]+)"\)/g), ([, name = ""]) => `"${name}"`));
    }
  }
  return names;
}

describe("bundleProduct()", () => {
  test("leaves no failpoint in a release", async (t) => {
    const text = await bundle(t);
    const names = await failpointNames();
    assert.ok(names.length > 3, names.join());
    assert.deepEqual(
      [...MACHINERY, ...names].filter((name) => text.includes(name)),
      [],
    );
  });

  test("has them all when they are asked for, so the search finds what it looks for", async (t) => {
    const text = await bundle(t, true);
    const names = await failpointNames();
    assert.deepEqual(
      [...MACHINERY, ...names].filter((name) => !text.includes(name)),
      [],
    );
  });
});
