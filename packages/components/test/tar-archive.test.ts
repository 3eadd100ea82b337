import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { lstat, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { formatTar, type TarEntry } from "../src/tar-archive.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const run = promisify(execFile);

describe("formatTar()", () => {
  test("writes an archive that GNU tar unpacks to the same files", async (t) => {
    const folder = await temporaryFolder(t);
    const longFolder = "a-folder-with-a-name/".repeat(6).slice(0, -1);
    const entries: TarEntry[] = [
      { type: "directory", path: "bin", mode: 0o755 },
      { type: "file", path: "bin/tool", mode: 0o755, data: Buffer.alloc(1000, "x") },
      { type: "link", path: "bin/other", target: "tool" },
      { type: "file", path: `${longFolder}/file`, mode: 0o600, data: Buffer.alloc(512, "y") },
      { type: "file", path: "empty", mode: 0o644, data: Buffer.alloc(0) },
    ];
    await writeFile(join(folder, "archive.tar"), formatTar(entries));
    await run("tar", ["-xpf", "archive.tar"], { cwd: folder });
    assert.equal(await readFile(join(folder, "bin/tool"), "utf8"), "x".repeat(1000));
    assert.equal((await lstat(join(folder, "bin/tool"))).mode & 0o777, 0o755);
    assert.equal(await readlink(join(folder, "bin/other")), "tool");
    assert.equal(await readFile(join(folder, longFolder, "file"), "utf8"), "y".repeat(512));
    assert.equal((await lstat(join(folder, longFolder, "file"))).mode & 0o777, 0o600);
    assert.equal((await lstat(join(folder, "empty"))).size, 0);
  });

  test("gives every member owner 0, group 0 and time 0", async (t) => {
    const folder = await temporaryFolder(t);
    const archive = formatTar([{ type: "file", path: "file", mode: 0o644, data: Buffer.from("text") }]);
    await writeFile(join(folder, "archive.tar"), archive);
    const { stdout } = await run("tar", ["--numeric-owner", "--utc", "-tvf", join(folder, "archive.tar")]);
    assert.match(stdout, /^-rw-r--r-- 0\/0\s+4 1970-01-01 00:00 file\n$/);
  });

  test("refuses a path that does not fit the format", () => {
    const path = "x".repeat(101);
    assert.throws(
      () => formatTar([{ type: "file", path, mode: 0o644, data: Buffer.alloc(0) }]),
      /the path is too long/,
    );
  });
});
