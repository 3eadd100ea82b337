import assert from "node:assert/strict";
import { lstat, mkdir, mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ensureSymlink } from "@k3s/files";

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "symlink-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

describe("ensureSymlink()", () => {
  test("replaces a file and a link that points elsewhere, and leaves nothing beside it", async (t) => {
    const dir = await folder(t);
    const path = join(dir, "link");
    await writeFile(path, "a file");
    await ensureSymlink("one", path);
    assert.equal(await readlink(path), "one");
    await ensureSymlink("two", path);
    assert.equal(await readlink(path), "two");
    assert.deepEqual(await readdir(dir), ["link"]);
  });

  test("leaves a link that is right untouched", async (t) => {
    const path = join(await folder(t), "link");
    await ensureSymlink("target", path);
    const before = await lstat(path, { bigint: true });
    await ensureSymlink("target", path);
    const after = await lstat(path, { bigint: true });
    assert.equal(after.ino, before.ino);
    assert.equal(after.ctimeNs, before.ctimeNs);
  });

  test("removes its temporary link when the path is a folder", async (t) => {
    const dir = await folder(t);
    await mkdir(join(dir, "link"));
    await assert.rejects(ensureSymlink("target", join(dir, "link")));
    assert.deepEqual(await readdir(dir), ["link"]);
  });
});
