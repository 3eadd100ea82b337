import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { formatServerFile, parseServerFile, ServerFile } from "../src/server-file.ts";

const SAVED = { serverUrl: "https://10.0.0.1:6443", addresses: ["10.0.0.1:6443", "10.0.0.2:6443"] };
const TEXT = `{
  "ServerURL": "https://10.0.0.1:6443",
  "ServerAddresses": [
    "10.0.0.1:6443",
    "10.0.0.2:6443"
  ]
}`;

test("formatServerFile() writes what k3s writes, in a fixed order", () =>
  assert.equal(formatServerFile({ ...SAVED, addresses: [...SAVED.addresses].reverse() }), TEXT));

describe("parseServerFile()", () => {
  test("reads it back", () => assert.deepEqual(parseServerFile(TEXT), SAVED));

  test("takes the null of an empty list", () =>
    assert.deepEqual(parseServerFile('{"ServerURL":"https://a:1","ServerAddresses":null}'), {
      serverUrl: "https://a:1",
      addresses: [],
    }));

  for (const text of ["", "{", "[]", "null", "1", '{"ServerAddresses":["a:1"]}'])
    test(`refuses ${text || "nothing"}`, () => assert.equal(parseServerFile(text), undefined));

  test("leaves out what is no text", () =>
    assert.deepEqual(parseServerFile('{"ServerURL":"https://a:1","ServerAddresses":[1,"b:1",null]}')?.addresses, [
      "b:1",
    ]));
});

/** For writes that must not fail. */
function failNever(error: unknown): never {
  throw error;
}

describe("ServerFile", () => {
  async function folderOf(t: TestContext): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "k3s-server-file-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  test("save() makes the folder, and a file that everybody may read", async (t) => {
    const path = join(await folderOf(t), "agent/etc/lb.json");
    await new ServerFile(path, failNever).save(SAVED);
    assert.equal(await readFile(path, "utf8"), TEXT);
    assert.equal((await stat(path)).mode & 0o777, 0o644);
  });

  test("save() ends with the newest of many, and nothing beside it", async (t) => {
    const folder = await folderOf(t);
    const file = new ServerFile(join(folder, "lb.json"), failNever);
    await Promise.all(Array.from({ length: 50 }, (_, i) => file.save({ ...SAVED, addresses: [`a:${i + 1}`] })));
    assert.deepEqual(await readdir(folder), ["lb.json"]);
    assert.deepEqual(parseServerFile(await readFile(join(folder, "lb.json"), "utf8"))?.addresses, ["a:50"]);
  });

  test("save() does not touch a file that says the same", async (t) => {
    const path = join(await folderOf(t), "lb.json");
    await writeFile(path, TEXT);
    await chmod(path, 0o600);
    const file = new ServerFile(path, failNever);
    assert.deepEqual(await file.load(), SAVED);
    await file.save(SAVED);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  test("save() tells of a failure and tries again with the next change", async (t) => {
    const folder = await folderOf(t);
    await writeFile(join(folder, "etc"), "in the way");
    const failures: unknown[] = [];
    const file = new ServerFile(join(folder, "etc/lb.json"), (error) => failures.push(error));
    await file.save(SAVED);
    assert.equal(failures.length, 1);
    await rm(join(folder, "etc"));
    await file.save(SAVED);
    assert.equal(failures.length, 1);
    assert.equal(await readFile(join(folder, "etc/lb.json"), "utf8"), TEXT);
  });

  test("load() tells nothing from something else", async (t) => {
    const path = join(await folderOf(t), "lb.json");
    assert.equal(await new ServerFile(path, failNever).load(), undefined);
    await writeFile(path, "not json");
    assert.equal(await new ServerFile(path, failNever).load(), "unreadable");
  });
});
