import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { writeImageArchive, type ImageContent } from "../src/image-archive.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const run = promisify(execFile);
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

const CONTENT: ImageContent = {
  tags: ["docker.io/library/tool:1"],
  entries: [
    { type: "file", path: "usr/bin/tool", mode: 0o755, data: Buffer.from("tool") },
    { type: "link", path: "usr/bin/other", target: "tool" },
  ],
  config: {
    entrypoint: ["/usr/bin/tool"],
    command: ["run"],
    environment: ["A=b"],
    user: "1000:1000",
    workingDirectory: "/usr",
  },
};

describe("writeImageArchive()", () => {
  test("writes manifest, configuration and a layer whose digest the configuration names", async (t) => {
    const folder = await temporaryFolder(t);
    await writeImageArchive(join(folder, "image.tar"), CONTENT);
    await run("tar", ["-xf", "image.tar"], { cwd: folder });
    const [image] = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as [
      { Config: string; RepoTags: string[]; Layers: string[] },
    ];
    assert.deepEqual(image.RepoTags, ["docker.io/library/tool:1"]);
    const config = await readFile(join(folder, image.Config));
    assert.equal(image.Config, `${sha256(config)}.json`);
    const layer = await readFile(join(folder, image.Layers[0] ?? ""));
    const parsed = JSON.parse(config.toString()) as Record<string, unknown>;
    assert.deepEqual(parsed["rootfs"], { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] });
    assert.equal(parsed["architecture"], process.arch === "x64" ? "amd64" : process.arch);
    assert.deepEqual(parsed["config"], {
      Entrypoint: ["/usr/bin/tool"],
      Cmd: ["run"],
      User: "1000:1000",
      WorkingDir: "/usr",
      Env: ["A=b"],
    });
  });

  test("adds each folder on the way to a file once, before the file", async (t) => {
    const folder = await temporaryFolder(t);
    await writeImageArchive(join(folder, "image.tar"), CONTENT);
    await run("tar", ["-xf", "image.tar"], { cwd: folder });
    const { stdout } = await run("tar", ["-tf", join(folder, "layer.tar")]);
    assert.equal(stdout, "usr/\nusr/bin/\nusr/bin/tool\nusr/bin/other\n");
  });

  test("writes the same bytes for the same content", async (t) => {
    const folder = await temporaryFolder(t);
    await writeImageArchive(join(folder, "a.tar"), CONTENT);
    await writeImageArchive(join(folder, "b.tar"), CONTENT);
    assert.deepEqual(await readFile(join(folder, "a.tar")), await readFile(join(folder, "b.tar")));
  });
});
