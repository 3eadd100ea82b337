import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { LockFile } from "../src/lock-file.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const [A, B] = ["a".repeat(64), "b".repeat(64)];

describe("LockFile", () => {
  test("remembers checksums over runs, sorted by address", async (t) => {
    const path = join(await temporaryFolder(t), "components.lock.json");
    const first = await LockFile.open(path);
    await first.record("https://z.example/file", A);
    await first.record("https://a.example/file", B);
    const expected = { sha256: { "https://a.example/file": B, "https://z.example/file": A } };
    assert.equal(await readFile(path, "utf8"), `${JSON.stringify(expected, undefined, 2)}\n`);
    assert.equal((await LockFile.open(path)).get("https://z.example/file"), A);
  });

  for (const text of ["{", "[]", '{ "sha256": { "https://a.example/file": 1 } }']) {
    test(`refuses to read ${text}`, async (t) => {
      const path = join(await temporaryFolder(t), "components.lock.json");
      await writeFile(path, text);
      if (text === "[]") assert.equal((await LockFile.open(path)).get("https://a.example/file"), undefined);
      else await assert.rejects(LockFile.open(path), { code: "ERR_COMPONENT_MANIFEST" });
    });
  }
});
