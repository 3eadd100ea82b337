import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { RotatingFile } from "../src/rotating-file.ts";
import { LogBook, temporaryFolder } from "./support.ts";

const LIMITS = { maxBytes: 10, backups: 2, maxAgeDays: 28 };

describe("RotatingFile", () => {
  test("appends to what is there, in the order of the calls, with mode 0600", async (t) => {
    const path = join(temporaryFolder(t), "child.log");
    const file = new RotatingFile({ path, ...LIMITS, maxBytes: 1000 }, new LogBook().log);
    await Promise.all(["a", "b", "c"].map((text) => file.write(Buffer.from(text))));
    await file.close();
    await file.write(Buffer.from("d"));
    await file.close();
    assert.equal(readFileSync(path, "utf8"), "abcd");
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test("keeps a full file as gzip beside a new one", async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, "child.log");
    const file = new RotatingFile({ path, ...LIMITS }, new LogBook().log);
    await file.write(Buffer.from("0123456\n"));
    await file.write(Buffer.from("abcdefg\n"));
    await file.close();
    assert.equal(readFileSync(path, "utf8"), "abcdefg\n");
    const [backup = "", ...others] = readdirSync(folder).filter((name) => name !== "child.log");
    assert.deepEqual(others, []);
    assert.match(backup, /^child-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log\.gz$/);
    assert.equal(gunzipSync(readFileSync(join(folder, backup))).toString(), "0123456\n");
    assert.equal(statSync(join(folder, backup)).mode & 0o777, 0o600);
  });

  for (const { name, backups, kept } of [
    { name: "beyond their number", backups: 2, kept: ["child-2023-01-03T00-00-00.000.log.gz"] },
    {
      name: "beyond their age",
      backups: 9,
      kept: ["child-2023-01-01T00-00-00.000.log.gz", "child-2023-01-03T00-00-00.000.log.gz"],
    },
  ]) {
    test(`removes backups ${name}, and nothing else`, async (t) => {
      const folder = temporaryFolder(t);
      const path = join(folder, "child.log");
      const names = [1, 2, 3].map((day) => `child-2023-01-0${day}T00-00-00.000.log.gz`);
      for (const file of [...names, "other.log.gz"]) writeFileSync(join(folder, file), "");
      utimesSync(join(folder, "child-2023-01-02T00-00-00.000.log.gz"), 0, 0);
      const file = new RotatingFile({ path, ...LIMITS, backups }, new LogBook().log);
      await file.write(Buffer.from("0123456\n"));
      await file.write(Buffer.from("abcdefg\n"));
      await file.close();
      const left = readdirSync(folder).sort();
      const [newest = ""] = left.filter((entry) => entry.startsWith("child-") && !names.includes(entry));
      assert.deepEqual(left, [...kept, newest, "child.log", "other.log.gz"].sort());
    });
  }

  test("loses data instead of failing where it cannot write, says so once, and recovers", async (t) => {
    const folder = join(temporaryFolder(t), "missing");
    const book = new LogBook();
    const file = new RotatingFile({ path: join(folder, "child.log"), ...LIMITS }, book.log);
    await file.write(Buffer.from("lost"));
    await file.write(Buffer.from("lost"));
    mkdirSync(folder);
    await file.write(Buffer.from("kept"));
    await file.close();
    assert.equal(readFileSync(join(folder, "child.log"), "utf8"), "kept");
    assert.deepEqual(
      book.entries.get().map(({ level, msg }) => [level, msg]),
      [
        ["warn", "cannot write output file, data is lost"],
        ["info", "output file can be written again"],
      ],
    );
  });
});
