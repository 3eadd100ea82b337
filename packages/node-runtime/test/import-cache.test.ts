import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { ArchiveState } from "../src/archive-state.ts";
import { ImportCache } from "../src/import-cache.ts";

const STATE: ArchiveState = {
  size: 10_240,
  modTime: "2026-01-01T00:00:00.000Z",
  changeTime: "2026-01-02T00:00:00.000Z",
};
const IMAGES = ["example.org/one:1"];

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "import-cache-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function loaded(path: string): Promise<ImportCache> {
  const cache = new ImportCache(path);
  await cache.load();
  return cache;
}

describe("ImportCache", () => {
  test("remembers for the next process", async (t) => {
    const path = await folder(t);
    await (await loaded(path)).remember("/images/one.tar", { ...STATE, images: IMAGES });
    assert.deepEqual((await loaded(path)).images("/images/one.tar", STATE), IMAGES);
  });

  for (const change of [{ size: 1 }, { modTime: "2026-01-01T00:00:00.001Z" }, { changeTime: STATE.modTime }])
    test(`does not know an archive with another ${Object.keys(change).join()}`, async (t) => {
      const cache = await loaded(await folder(t));
      await cache.remember("/images/one.tar", { ...STATE, images: IMAGES });
      assert.equal(cache.images("/images/one.tar", { ...STATE, ...change }), undefined);
    });

  test("keeps what several remember at the same time", async (t) => {
    const path = await folder(t);
    const cache = await loaded(path);
    const names = Array.from({ length: 20 }, (_, n) => `/images/${n}.tar`);
    await Promise.all(names.map((name) => cache.remember(name, { ...STATE, images: IMAGES })));
    const again = await loaded(path);
    assert.ok(names.every((name) => again.images(name, STATE) !== undefined));
  });

  test("forgets what is gone", async (t) => {
    const path = await folder(t);
    const cache = await loaded(path);
    for (const name of ["/a.tar", "/b.tar"]) await cache.remember(name, { ...STATE, images: IMAGES });
    await cache.keepOnly(["/b.tar"]);
    assert.deepEqual(Object.keys(JSON.parse(await readFile(join(path, ".cache.json"), "utf8")) as object), ["/b.tar"]);
  });

  for (const text of ["", "{", "[1]", "null", `{"/images/one.tar":{"size":10240,"modTime":"x","images":[]}}`])
    test(`starts anew with the file ${JSON.stringify(text)}`, async (t) => {
      const path = await folder(t);
      await writeFile(join(path, ".cache.json"), text);
      assert.equal((await loaded(path)).images("/images/one.tar", STATE), undefined);
    });

  test("says when it cannot be written, and knows the entry all the same", async () => {
    const cache = await loaded("/proc/no-such-folder");
    await assert.rejects(cache.remember("/a.tar", { ...STATE, images: IMAGES }));
    assert.deepEqual(cache.images("/a.tar", STATE), IMAGES);
  });
});
