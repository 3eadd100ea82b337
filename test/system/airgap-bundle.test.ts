import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { writeImageArchive } from "@k3s/components";
import { DIST } from "@k3s/testkit";
import { execa } from "execa";

const ROOT = join(DIST, "..");

test("k3s airgap bundle makes of the one executable what is checked and run elsewhere", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "k3s-bundle-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const entries = [{ type: "file", path: "app", mode: 0o755, data: Buffer.from("app") }] as const;
  const saved = join(folder, "saved.tar");
  await writeImageArchive(saved, { tags: ["example.org/app:1"], entries, config: { entrypoint: ["/app"] } });
  const executable = join(DIST, "k3s");
  const output = join(folder, "bundle.tar");
  const dataDir = join(folder, "data");
  await execa(executable, ["airgap", "bundle", "--offline", "--from", saved, "-d", dataDir, "-o", output]);

  const elsewhere = join(folder, "elsewhere");
  await mkdir(elsewhere);
  await execa("tar", ["-xf", output, "-C", elsewhere]);
  const cwd = join(elsewhere, "bundle");
  const instructions = await readFile(join(cwd, "README.txt"), "utf8");
  const check = instructions.match(/sha256sum -c \S+/)?.[0];
  assert.ok(check !== undefined, instructions);
  await execa("sh", ["-c", check], { cwd });
  const { stdout: images } = await execa(join(cwd, "k3s"), ["airgap", "list"]);
  assert.equal(await readFile(join(cwd, "k3s-images.txt"), "utf8"), `${images}\nexample.org/app:1\n`);
  const versions = await Promise.all([executable, join(cwd, "k3s")].map((file) => execa(file, ["--version"])));
  assert.equal(versions[1]?.stdout, versions[0]?.stdout);
  assert.deepEqual(await readFile(join(cwd, "install.sh")), await readFile(join(ROOT, "install.sh")));
});
