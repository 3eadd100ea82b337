import assert from "node:assert/strict";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { Payload } from "@k3s/payload";
import { buildArm64 } from "../src/arm64.ts";
import { cacheDirectory } from "../src/component-options.ts";

/** Of the ELF header: machine, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html. */
const MACHINE_OFFSET = 18;
const AARCH64 = 183;

describe("buildArm64()", () => {
  test(
    "makes an executable for arm64 with the licences of what is inside, and says what is missing",
    { timeout: 600_000 },
    async (t) => {
      const dist = await temporaryFolder(t);
      const notes: string[] = [];
      const environment = process.env;
      await buildArm64(dist, {
        cacheDir: cacheDirectory(environment),
        environment,
        progress: ({ note }) => {
          if (note !== undefined) notes.push(note);
        },
        signal: t.signal,
      });
      const path = join(dist, "k3s-arm64");
      for (const file of [path, join(dist, "lib/program-arm64/native/k3s-native.node")])
        assert.equal(await machineOf(file), AARCH64, file);
      await using payload = await Payload.open(path);
      const licenses = String(await payload.read("licenses.txt"));
      for (const title of ["k3s: Apache-2.0", "Node.js 24", "better-sqlite3 "])
        assert.ok(licenses.includes(title), title);
      assert.deepEqual(payload.info, {});
      assert.match(notes.at(-1) ?? "", /no upstream programs/);
    },
  );
});

async function machineOf(path: string): Promise<number> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(2), 0, 2, MACHINE_OFFSET);
  return buffer.readUInt16LE(0);
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "k3s-arm64-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}
