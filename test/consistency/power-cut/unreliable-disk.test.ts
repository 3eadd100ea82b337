import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { Random } from "../traffic/random.ts";
import { UnreliableDisk } from "./unreliable-disk.ts";

const PAGES = 16;
/** Writes pages of "1", makes them durable, writes "2" over all of them, and dies. */
const PROGRAM = `
  const fs = require("node:fs");
  const file = fs.openSync(process.argv[1], "w+");
  fs.writeSync(file, Buffer.alloc(${PAGES} * 4096, "1"), 0, undefined, 0);
  fs.fsyncSync(file);
  fs.writeSync(file, Buffer.alloc(${PAGES} * 4096, "2"), 0, undefined, 0);
  process.kill(process.pid, "SIGKILL");
`;

/** Makes durable what is there. */
const NEXT_PROGRAM = `
  const fs = require("node:fs");
  fs.fsyncSync(fs.openSync(process.argv[1], "r+"));
`;

/** The first byte of each page that is left, after `next` went on where the first program was killed. */
async function leftOf(t: TestContext, options: { readonly lies: boolean }, next?: string): Promise<string> {
  const disk = await UnreliableDisk.create(options);
  t.after(() => disk[Symbol.asyncDispose]());
  const path = join(disk.folder, "file");
  const env = { ...process.env, ...disk.environment };
  const { signal, stderr } = spawnSync(process.execPath, ["-e", PROGRAM, path], { env, encoding: "utf8" });
  assert.deepEqual([signal, stderr], ["SIGKILL", ""]);
  if (next !== undefined) assert.equal(spawnSync(process.execPath, ["-e", next, path], { env }).status, 0);
  await disk.cut(new Random(1));
  const content = await readFile(path);
  return Array.from({ length: content.length / 4096 }, (_, page) => content.toString("latin1", page * 4096)[0]).join(
    "",
  );
}

describe("UnreliableDisk.cut()", () => {
  test("keeps what was made durable, and of what was written later some pages", async (t) => {
    const left = await leftOf(t, { lies: false });
    assert.equal(left.length, PAGES);
    assert.match(left, /^[12]+$/);
    assert.match(left, /1/);
    assert.match(left, /2/);
  });

  test("keeps what a killed program wrote and the next one made durable", async (t) => {
    assert.equal(await leftOf(t, { lies: false }, NEXT_PROGRAM), "2".repeat(PAGES));
  });

  test("keeps nothing when the disk lies", async (t) => {
    assert.equal(await leftOf(t, { lies: true }), "");
  });
});
