import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { acquireLock } from "@k3s/files";
import { provideCachedFolder } from "../src/cached-folder.ts";

const LONG_AGO = new Date(Date.now() - 31 * 24 * 3600_000);
const LATELY = new Date(Date.now() - 29 * 24 * 3600_000);
const OTHER = "0123456789ab";

async function openCache(t: TestContext) {
  const cacheDir = await mkdtemp(join(tmpdir(), "k3s-cache-"));
  t.after(() => rm(cacheDir, { recursive: true, force: true }));
  const said: string[] = [];
  let made = 0;
  const provide = () =>
    provideCachedFolder(
      {
        ...{ name: "tools", recipe: import.meta.filename },
        make: async (staging) => {
          made++;
          await mkdir(staging);
          await writeFile(join(staging, "tool"), "");
        },
      },
      { cacheDir, environment: {}, progress: ({ note }) => void said.push(note ?? ""), signal: t.signal },
    );
  /** A folder and its lock as a use at that time leaves them. */
  const leave = async (name: string, at: Date) => {
    await mkdir(join(cacheDir, name));
    await writeFile(join(cacheDir, name, "tool"), "");
    await writeFile(join(cacheDir, `${name}.lock`), "1\n");
    for (const path of [name, `${name}.lock`]) await utimes(join(cacheDir, path), at, at);
  };
  const folders = async () => (await readdir(cacheDir)).filter((name) => !name.endsWith(".lock")).sort();
  return { cacheDir, provide, leave, folders, said, made: () => made };
}

describe("provideCachedFolder()", () => {
  test("makes the folder once, and marks each use", async (t) => {
    const { provide, made } = await openCache(t);
    const folder = await provide();
    await utimes(folder, LONG_AGO, LONG_AGO);
    assert.equal(await provide(), folder);
    assert.equal(made(), 1);
    assert.ok((await stat(folder)).mtimeMs > LATELY.getTime());
    assert.deepEqual(await readdir(folder), ["tool"]);
  });

  test("removes folders of earlier recipes that nobody used for 30 days, and says so", async (t) => {
    const { cacheDir, provide, leave, folders, said } = await openCache(t);
    await leave(`tools-${OTHER}`, LONG_AGO);
    await leave("tools-ba9876543210", LATELY);
    await leave("tools-for-arm64-0123456789ab", LONG_AGO);
    await leave("tools-mine", LONG_AGO);
    const folder = await provide();
    const kept = [
      "tools-ba9876543210",
      "tools-for-arm64-0123456789ab",
      "tools-mine",
      folder.slice(cacheDir.length + 1),
    ];
    assert.deepEqual(await folders(), kept.sort());
    assert.deepEqual(said, [`removed ${join(cacheDir, `tools-${OTHER}`)}`]);
  });

  test("keeps one that is in use, by its lock or by its folder", async (t) => {
    const { cacheDir, provide, leave, folders } = await openCache(t);
    await leave(`tools-${OTHER}`, LONG_AGO);
    await leave("tools-ba9876543210", LONG_AGO);
    await using _held = await acquireLock(join(cacheDir, `tools-${OTHER}.lock`));
    await utimes(join(cacheDir, `tools-${OTHER}.lock`), LONG_AGO, LONG_AGO);
    await utimes(join(cacheDir, "tools-ba9876543210"), LATELY, LATELY);
    await provide();
    assert.equal((await folders()).length, 3);
  });

  test("removes what an interrupted run left of an earlier recipe", async (t) => {
    const { cacheDir, provide, folders } = await openCache(t);
    const left = join(cacheDir, `tools-${OTHER}.tmp`);
    await mkdir(left);
    await provide();
    assert.equal((await folders()).length, 1);
  });
});
