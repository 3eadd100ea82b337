import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { appendPayload, compressBlock, Payload, type MemberSink } from "@k3s/payload";

const SETTINGS = { level: 3, windowLog: 20 };
const FILES: ReadonlyMap<string, Buffer> = new Map([
  ["bin/one", randomBytes(3_000_000)],
  ["bin/empty", Buffer.alloc(0)],
  ["bin/two", Buffer.alloc(2_500_000, "text that repeats itself ")],
  ["licenses.txt", Buffer.from("a licence")],
]);

/** An executable with two blocks: programs, and a text. */
async function executable(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-payload-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "k3s");
  await copyFile("/bin/echo", path);
  await appendTo(path, folder);
  return path;
}

async function appendTo(path: string, folder: string): Promise<void> {
  const names = [...FILES.keys()];
  const blocks = [];
  for (const [index, group] of [names.slice(0, 3), names.slice(3)].entries()) {
    const members = group.map((name) => ({ name, path: join(folder, name.replace("/", "-")) }));
    for (const { name, path: file } of members) await writeFile(file, FILES.get(name) ?? "");
    const block = join(folder, `${index}.zst`);
    await compressBlock(members, block, SETTINGS);
    blocks.push({ path: block, members: group.map((name) => ({ name, size: FILES.get(name)?.length ?? 0 })) });
  }
  await appendPayload(path, blocks, { version: "1.30" });
}

async function contentOf(path: string): Promise<Map<string, Buffer>> {
  await using payload = await Payload.open(path);
  const found = new Map<string, Buffer>();
  await payload.extract(async (name, content) => {
    found.set(name, Buffer.concat(await Array.fromAsync(content)));
  });
  return found;
}

async function changeByte(path: string, position: number): Promise<void> {
  await using file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, position);
}

describe("Payload", () => {
  test("gives back what was appended, and leaves the program as it was", async (t) => {
    const path = await executable(t);
    assert.deepEqual(await contentOf(path), FILES);
    assert.equal((await promisify(execFile)(path, ["still", "runs"])).stdout, "still runs\n");
  });

  test("reads one file, and what the builder said", async (t) => {
    await using payload = await Payload.open(await executable(t));
    assert.equal(String(await payload.read("licenses.txt")), "a licence");
    assert.equal(await payload.read("absent"), undefined);
    assert.deepEqual(payload.info, { version: "1.30" });
  });

  test("reads no further than the last file that is wanted", async (t) => {
    const path = await executable(t);
    await changeByte(path, (await stat("/bin/echo")).size + 2_000_000); // what cannot be compressed shows damage at the end of the block
    await using payload = await Payload.open(path);
    const names: string[] = [];
    const sink: MemberSink = async (name, content) => {
      names.push(name);
      for await (const _ of content);
    };
    await payload.extract(sink, { names: new Set(["bin/one", "licenses.txt"]) });
    assert.deepEqual(names, ["bin/one", "licenses.txt"]);
    await assert.rejects(payload.extract(sink, { names: new Set(["bin/two"]) }), { code: "ERR_PAYLOAD_DAMAGED" });
  });

  test("is the same, byte for byte, when it is made again", async (t) => {
    assert.deepEqual(await readFile(await executable(t)), await readFile(await executable(t)));
  });

  test("stops when its reader is told to", async (t) => {
    await using payload = await Payload.open(await executable(t));
    const stop = new AbortController();
    const reading = payload.extract(
      async (_name, content) => {
        for await (const _chunk of content) stop.abort(new Error("enough"));
      },
      { signal: stop.signal },
    );
    await assert.rejects(reading, /^Error: enough$/);
  });

  const damages: readonly { readonly what: string; readonly damage: (path: string, size: number) => Promise<void> }[] =
    [
      {
        what: "a byte of a block has changed",
        damage: async (path) => changeByte(path, (await stat("/bin/echo")).size + 2_000_000),
      },
      { what: "a byte of the list has changed", damage: (path, size) => changeByte(path, size - 70) },
      { what: "the last byte is missing", damage: (path, size) => truncate(path, size - 1) },
      { what: "half of it is missing", damage: (path, size) => truncate(path, Math.floor(size / 2)) },
      { what: "nothing was appended", damage: (path) => copyFile("/bin/echo", path) },
      { what: "it is empty", damage: (path) => truncate(path, 0) },
    ];
  for (const { what, damage } of damages) {
    test(`says so, with a cure, when ${what}`, async (t) => {
      const path = await executable(t);
      await damage(path, (await stat(path)).size);
      await assert.rejects(contentOf(path), (error: Error & { readonly code?: string; readonly hint?: string }) => {
        assert.equal(error.code, "ERR_PAYLOAD_DAMAGED");
        assert.ok(error.message.includes(path), error.message);
        assert.match(error.hint ?? "", /^Get the file again/);
        return true;
      });
    });
  }
});
