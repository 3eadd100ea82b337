import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { buffer } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import { formatTar, type TarEntry } from "@k3s/components";
import { ArchiveNames, normalizeImageName } from "../src/archive-names.ts";
import { archivePacking, openArchive } from "../src/archive-stream.ts";

const PATH = process.env["PATH"] ?? "";
const file = (path: string, text: string): TarEntry => ({ type: "file", path, mode: 0o644, data: Buffer.from(text) });
const docker = [
  file("layer.tar", "x".repeat(1500)),
  file("manifest.json", JSON.stringify([{ RepoTags: ["busybox:1", "rancher/pause:3"] }, { RepoTags: null }])),
];

async function namesOf(tar: Buffer, chunkSize: number): Promise<{ names: string[]; passed: Buffer }> {
  const names = new ArchiveNames();
  const chunks = Array.from({ length: Math.ceil(tar.length / chunkSize) }, (_, index) =>
    tar.subarray(index * chunkSize, (index + 1) * chunkSize),
  );
  const [passed] = await Promise.all([buffer(names), pipeline(Readable.from(chunks), names)]);
  return { names: names.names(), passed };
}

describe("ArchiveNames", () => {
  for (const chunkSize of [1, 511, 512, 700, 1 << 20])
    test(`reads docker's tags from chunks of ${chunkSize} bytes and passes all bytes on`, async () => {
      const tar = formatTar(docker);
      const { names, passed } = await namesOf(tar, chunkSize);
      assert.deepEqual(names, ["docker.io/library/busybox:1", "docker.io/rancher/pause:3"]);
      assert.ok(passed.equals(tar));
    });

  test("prefers the names of an OCI index", async () => {
    const manifests = [
      { annotations: { "io.containerd.image.name": "registry.example:5000/a/b:v1" } },
      { digest: "x" },
    ];
    const tar = formatTar([...docker, file("index.json", JSON.stringify({ manifests }))]);
    assert.deepEqual((await namesOf(tar, 4096)).names, ["registry.example:5000/a/b:v1"]);
  });

  test("knows no names in an archive without an index", async () => {
    assert.deepEqual((await namesOf(formatTar([file("etc/manifest.json", "[]")]), 4096)).names, []);
  });
});

describe("normalizeImageName()", () => {
  const cases = [
    ["busybox", "docker.io/library/busybox:latest"],
    ["rancher/pause:3", "docker.io/rancher/pause:3"],
    ["localhost/x", "localhost/x:latest"],
    ["host:5000/x", "host:5000/x:latest"],
    ["quay.io/a/b@sha256:00", "quay.io/a/b@sha256:00"],
  ] as const;
  for (const [short, full] of cases)
    test(`normalizeImageName() makes ${full} of ${short}`, () => assert.equal(normalizeImageName(short), full));
});

describe("openArchive()", () => {
  async function folder(t: TestContext): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "archive-"));
    t.after(() => rm(path, { recursive: true, force: true }));
    await writeFile(join(path, "a.tar"), formatTar(docker));
    return path;
  }
  const packers = [
    { name: "a.tar", command: undefined },
    { name: "a.tar.gz", command: ["gzip", "-k", "a.tar"] },
    { name: "a.tar.bz2", command: ["bzip2", "-k", "a.tar"] },
  ] as const;
  for (const { name, command } of packers)
    test(`reads ${name}`, async (t) => {
      const path = await folder(t);
      if (command !== undefined) execFileSync(command[0], command.slice(1), { cwd: path });
      const packing = archivePacking(name);
      assert.ok(packing !== undefined);
      const archive = openArchive(join(path, name), packing, PATH);
      assert.ok((await buffer(archive.tar)).equals(formatTar(docker)));
      assert.ok(archive.bytesRead() > 0);
    });

  test("reads what Node packs as zstd", async (t) => {
    const { zstdCompressSync } = await import("node:zlib");
    const path = join(await folder(t), "a.tzst");
    await writeFile(path, zstdCompressSync(formatTar(docker)));
    assert.ok((await buffer(openArchive(path, "zstd", PATH).tar)).equals(formatTar(docker)));
  });

  test("says which program is missing", async (t) => {
    const path = await folder(t);
    const archive = openArchive(join(path, "a.tar"), "lz4", path);
    await assert.rejects(buffer(archive.tar), { code: "ERR_IMAGE_ARCHIVE_FORMAT", message: /"lz4"/ });
  });

  for (const packing of ["gzip", "zstd", "bzip2"] as const)
    test(`rejects what is not ${packing}`, async (t) => {
      const path = await folder(t);
      await writeFile(join(path, "broken"), "not packed at all");
      await assert.rejects(buffer(openArchive(join(path, "broken"), packing, PATH).tar));
    });

  test("archivePacking() ignores other files", () => {
    for (const name of [".cache.json", "a.txt", "a.zip", "tar"]) assert.equal(archivePacking(name), undefined, name);
  });
});
