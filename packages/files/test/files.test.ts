import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import {
  acquireLock,
  ensureDirectory,
  LockHeldError,
  makeDirectory,
  readIfExists,
  writeFileAtomic,
} from "../src/index.ts";

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "k3s-files-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

describe("writeFileAtomic()", () => {
  test("gives the file its mode whatever the umask, and its time", async (t) => {
    const path = join(await folder(t), "file");
    const mtime = new Date("2020-01-02T03:04:05.678Z");
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    await writeFileAtomic(path, "text", { mode: 0o644, mtime });
    const { mode, mtimeMs } = await stat(path);
    assert.deepEqual([mode & 0o777, mtimeMs, await readFile(path, "utf8")], [0o644, mtime.getTime(), "text"]);
  });

  test("leaves the old file and nothing else when it fails", async (t) => {
    const root = await folder(t);
    await ensureDirectory(join(root, "file"), 0o700);
    await assert.rejects(writeFileAtomic(join(root, "file"), "text", { mode: 0o600 }));
    assert.deepEqual(await readdir(root), ["file"]);
  });
});

/** One in about forty met the race between a look and the next one. */
const ROUNDS = 300;

describe("makeDirectory()", () => {
  test("makes missing parents with the mode, and leaves what is there alone", async (t) => {
    const root = await folder(t);
    await makeDirectory(join(root, "a", "b", "c"), 0o700);
    await makeDirectory(join(root, "a", "b"), 0o755);
    const modes = await Promise.all(["a", "a/b", "a/b/c"].map((path) => stat(join(root, path))));
    assert.deepEqual(
      modes.map(({ mode }) => mode & 0o777),
      [0o700, 0o700, 0o700],
    );
  });

  const refused = [
    { name: "below a folder in which the kernel makes none", path: () => "/proc/k3s/a/b", code: "ENOENT" },
    { name: "below a file", path: (root: string) => join(root, "file", "a"), code: "ENOTDIR" },
    { name: "in place of a file", path: (root: string) => join(root, "file"), code: "EEXIST" },
  ];
  for (const { name, path, code } of refused) {
    test(`rejects ${name}`, { timeout: 10_000 }, async (t) => {
      const root = await folder(t);
      await writeFile(join(root, "file"), "x");
      await assert.rejects(makeDirectory(path(root)), { code });
    });
  }

  test("several at once make one folder", async (t) => {
    const path = join(await folder(t), "a", "b");
    await Promise.all(Array.from({ length: 20 }, () => makeDirectory(path)));
    assert.equal((await stat(path)).isDirectory(), true);
  });

  test("several at once make folders side by side, whoever makes their parent", async (t) => {
    const root = await folder(t);
    for (let round = 0; round < ROUNDS; round++) {
      const parent = join(root, String(round), "a");
      await Promise.all(["b", "b", "c/d"].map((path) => makeDirectory(join(parent, path))));
      assert.deepEqual((await readdir(parent)).sort(), ["b", "c"]);
    }
  });
});

describe("ensureDirectory()", () => {
  test("tightens the mode of a folder that was there", async (t) => {
    const path = join(await folder(t), "a", "b");
    await ensureDirectory(path, 0o755);
    await ensureDirectory(path, 0o700);
    assert.equal((await stat(path)).mode & 0o777, 0o700);
  });
});

describe("readIfExists()", () => {
  test("tells absence from every other failure", async (t) => {
    const root = await folder(t);
    await writeFile(join(root, "file"), "x");
    assert.equal(await readIfExists(join(root, "absent")), undefined);
    assert.equal(await readIfExists(join(root, "file", "below")), undefined);
    await assert.rejects(readIfExists(root), { code: "EISDIR" });
  });
});

describe("acquireLock()", () => {
  test("refuses a second holder and names the first", async (t) => {
    const path = join(await folder(t), "lock");
    await using _first = await acquireLock(path);
    await assert.rejects(
      acquireLock(path),
      (error: unknown) => error instanceof LockHeldError && error.owner === String(process.pid),
    );
  });

  test("can be taken again after release()", async (t) => {
    const path = join(await folder(t), "lock");
    await (await acquireLock(path)).release();
    await (await acquireLock(path)).release();
  });

  test("is free again when its holder was killed", async (t) => {
    const path = join(await folder(t), "lock");
    const holder = spawn(process.execPath, [new URL("fixtures/lock-holder.ts", import.meta.url).pathname, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => holder.kill("SIGKILL"));
    await once(holder.stdout, "data");
    await assert.rejects(acquireLock(path), LockHeldError);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    await (await acquireLock(path)).release();
  });
});
