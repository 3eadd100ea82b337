import assert from "node:assert/strict";
import { access, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Latest } from "@k3s/async";
import { parseVersion, writeImageArchive, type ComponentSet } from "@k3s/components";
import { createLogger } from "@k3s/log";
import { ImageImport } from "../src/image-import.ts";
import { nodePaths } from "../src/node-runtime-options.ts";
import { fullOptions, goodSettings } from "./node-options.ts";

const limit = () => AbortSignal.timeout(30_000);

/**
 * A program that takes ctr's arguments and keeps its images in files. It fails while the file `down-<n>` is there, each
 * failure taking one away; the archive's images are whatever `pinned` says.
 */
const CTR = String.raw`#!/bin/sh
cd "$(dirname "$0")"
shift 4
echo "$*" >>calls
case "$*" in "images import"*) cat >/dev/null ;; esac
for down in down-*; do
  if [ -e "$down" ]; then rm "$down"; echo "ctr: connection refused" >&2; exit 1; fi
done
case "$*" in
  "images ls -q"*) cat pinned ;;
  "images ls") printf 'REF TYPE DIGEST\nexample.org/one:1 type sha256:1\n' ;;
  "images import"*)
    if [ -e collide ]; then rm collide; echo 'ctr: image "example.org/one:1": already exists' >&2; exit 1; fi
    [ ! -e refuse ] || { echo "ctr: unrecognized image format" >&2; exit 1; } ;;
esac
`;

async function importer(t: TestContext, state: { readonly pinned: string; readonly downs?: number }) {
  const folder = await mkdtemp(join(tmpdir(), "image-import-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = (name: string) => join(folder, name);
  await writeFile(file("ctr"), CTR);
  await chmod(file("ctr"), 0o755);
  await writeFile(file("pinned"), state.pinned);
  for (let n = 0; n < (state.downs ?? 0); n++) await writeFile(file(`down-${n}`), "");
  const version = parseVersion("1.20.2");
  assert.ok(version !== undefined);
  const set: ComponentSet = {
    ...{ dir: folder, binDir: folder, cniBinDir: folder, imagesDir: file("none") },
    versions: { kubernetes: version, containerd: version, runc: version, cni: version },
    has: () => true,
    path: file,
  };
  const lines = new Latest<readonly string[]>([]);
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.set([...lines.get(), line]) });
  const directories = { agentDirectory: file("agent"), stateDirectory: file("run") };
  const options = { ...fullOptions(), ...directories, set, log, settings: goodSettings, path: folder };
  const component = new ImageImport(options, { rescanMs: 50, retryMs: 50 });
  t.after(() => component.stop());
  await component.prepare();
  return {
    component,
    lines,
    images: nodePaths(options).images,
    file,
    start: () => component.start({ signal: limit(), lost: (error) => assert.ifError(error) }),
    calls: async () => (await readFile(file("calls"), "utf8")).split("\n"),
  };
}

async function archive(path: string): Promise<void> {
  const entries = [{ type: "file", path: "pause", mode: 0o755, data: Buffer.from("x") }] as const;
  await writeImageArchive(path, { tags: ["example.org/one:1"], entries, config: { entrypoint: ["/pause"] } });
}

describe("ImageImport while containerd is away", () => {
  test("asks again and gives up the images whose archive is gone", async (t) => {
    const { start, calls } = await importer(t, { pinned: "example.org/gone:1\n", downs: 2 });
    await start();
    assert.equal((await calls()).filter((call) => call.startsWith("images label example.org/gone:1")).length, 1);
  });

  test("imports an archive again that has failed for that reason", async (t) => {
    const { start, calls, images, file, lines } = await importer(t, { pinned: "" });
    await archive(join(images, "one.tar"));
    // The first question is answered; then the import and two questions fail.
    await writeFile(
      file("ctr"),
      CTR.replace('"images ls -q"*) cat', '"images ls -q"*) [ -e up ] || touch up down-1 down-2 down-3; cat'),
    );
    await start();
    assert.equal((await calls()).filter((call) => call.startsWith("images import")).length, 2);
    assert.ok((await calls()).some((call) => call.startsWith("images label example.org/one:1")));
    assert.ok(lines.get().every((line) => !line.includes("could not be imported")));
  });
});

test("ImageImport keeps every image while an archive cannot be imported", async (t) => {
  const { start, calls, images, file, lines } = await importer(t, { pinned: "example.org/one:1\n" });
  await archive(join(images, "one.tar"));
  await writeFile(file("refuse"), "");
  await start();
  assert.equal(lines.get().filter((line) => line.includes("could not be imported")).length, 1);
  assert.deepEqual(
    (await calls()).filter((call) => call.startsWith("images label")),
    [],
  );
});

test("ImageImport tries again when another import has just made the same image", async (t) => {
  const { start, calls, images, file, lines } = await importer(t, { pinned: "" });
  await archive(join(images, "one.tar"));
  await writeFile(file("collide"), "");
  await start();
  assert.equal((await calls()).filter((call) => call.startsWith("images import")).length, 2);
  assert.ok(lines.get().some((line) => line.includes('"imported":1,"unchanged":0,"failed":0')));
});

test("ImageImport does not try for ever when an image always exists already", async (t) => {
  const { start, calls, images, file, lines } = await importer(t, { pinned: "" });
  await archive(join(images, "one.tar"));
  await writeFile(file("ctr"), CTR.replace("rm collide;", ""));
  await writeFile(file("collide"), "");
  await start();
  assert.equal((await calls()).filter((call) => call.startsWith("images import")).length, 2);
  assert.equal(lines.get().filter((line) => line.includes("could not be imported")).length, 1);
});

describe("ImageImport of archives that were cut off or damaged", () => {
  const broken = [
    ["cut.tar.gz", (data: Buffer) => gzipSync(data).subarray(0, -30)],
    ["cut.tar.zst", (data: Buffer) => zstdCompressSync(data).subarray(0, -30)],
    ["flipped.tgz", (data: Buffer) => gzipSync(data).fill(0, 100, 140)],
  ] as const;
  for (const [name, damage] of broken)
    test(`names ${name} and goes on with the others`, async (t) => {
      const { start, images, lines } = await importer(t, { pinned: "" });
      await archive(join(images, "one.tar"));
      const content = await readFile(join(images, "one.tar"));
      await writeFile(join(images, name), damage(Buffer.concat([content, randomBytes(50_000)])));
      await start();
      const [error = "", ...more] = lines.get().filter((line) => line.includes("could not be imported"));
      assert.deepEqual(more, []);
      assert.match(error, /"code":"ERR_IMAGE_ARCHIVE_DAMAGED"/);
      assert.ok(error.includes(name));
      assert.ok(lines.get().some((line) => line.includes('"imported":1,"unchanged":0,"failed":1')));
    });
});

describe("ImageImport of a folder", () => {
  test("goes on when the folder was taken away and made anew", async (t) => {
    const { start, images, lines, component } = await importer(t, { pinned: "" });
    await rm(images, { recursive: true });
    await start();
    await assert.rejects(access(images));
    await mkdir(images);
    await archive(join(images, "late.tar"));
    await lines.until((all) => all.some((line) => /late\.tar.*imported/.test(line)), limit());
    await component.stop();
  });
});

describe("ImageImport of lists of references", () => {
  test("says which images could not be pulled, once each with a cure, and does not keep the node from starting", async (t) => {
    const { start, images, lines, component } = await importer(t, { pinned: "" });
    await writeFile(join(images, "list.txt"), "# ours\n\nExample.org/Wrong:1\nexample.org/two:1\r\nbusybox\n");
    await start();
    const failures = () => lines.get().filter((line) => line.includes('"list of images could not be served whole"'));
    // The second round has begun when it comes back to the image that fails, and says nothing again.
    const pulls = () => lines.get().filter((line) => line.includes('"pulling image"') && line.includes("busybox"));
    await lines.until(() => pulls().length > 2, limit());
    await component.stop();
    const codes = failures().map((line) => /"code":"(\w+)"/.exec(line)?.[1]);
    assert.deepEqual(codes.sort(), ["ERR_IMAGE_LIST_LINE", "ERR_IMAGE_PULL", "ERR_IMAGE_PULL"], failures().join(""));
    for (const [text, cure] of [
      ["line 3", "one reference a line"],
      ["example.org/two:1", "hosts.toml"],
      ["docker.io/library/busybox:latest", "hosts.toml"],
    ] as const)
      assert.ok(
        failures().some((line) => line.includes(text) && line.includes(cure)),
        text,
      );
  });

  test("asks no registry for what is there, and keeps it", async (t) => {
    const alias = "example.org/one@sha256:1";
    const state = { pinned: `example.org/one:1\n${alias}\nexample.org/gone:1\n` };
    const { start, calls, images, lines } = await importer(t, state);
    await writeFile(join(images, "list.txt"), "example.org/one:1\n");
    await start();
    await lines.until((all) => all.some((line) => line.includes('"images of the list are there"')), limit());
    assert.ok(lines.get().every((line) => !line.includes("pulling image")));
    const labels = (await calls()).filter((call) => call.startsWith("images label"));
    const unpinned = labels.filter((call) => call.endsWith("pinned="));
    assert.deepEqual(
      unpinned.map((call) => call.split(" ")[2]),
      ["example.org/gone:1"],
    );
    const pinned = labels.filter((call) => call.endsWith("=pinned"));
    assert.deepEqual(
      pinned.map((call) => call.split(" ")[2]),
      ["example.org/one:1", alias],
    );
  });

  test("serves a list anew when it changes", async (t) => {
    const { start, images, lines } = await importer(t, { pinned: "" });
    await writeFile(join(images, "list.txt"), "example.org/two:1\n");
    await start();
    await lines.until((all) => all.some((line) => line.includes("ERR_IMAGE_PULL")), limit());
    await writeFile(join(images, "list.txt"), "example.org/one:1\n");
    await lines.until((all) => all.some((line) => line.includes('"images of the list are there"')), limit());
  });

  test("refuses what is too large for a list, and keeps every image", async (t) => {
    const { start, calls, images, lines } = await importer(t, { pinned: "example.org/gone:1\n" });
    await writeFile(join(images, "list.txt"), "x".repeat(2 * 1024 * 1024));
    await start();
    await lines.until((all) => all.some((line) => line.includes("ERR_IMAGE_LIST_SIZE")), limit());
    assert.ok((await calls()).every((call) => !call.startsWith("images label")));
  });
});
