import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const SOURCE = join(import.meta.dirname, "../src/launcher.c");

/** A folder with the launcher and, in place of Node, a script that prints how it was called. */
async function installed(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-launcher-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await run("gcc", ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-o", join(folder, "k3s"), SOURCE]);
  await mkdir(join(folder, "lib"));
  const script = '#!/bin/sh\nprintf "%s\\n" "$K3S_ARGV0" "$NODE_OPTIONS" "$@"\n';
  await writeFile(join(folder, "lib/node"), script, { mode: 0o755 });
  return folder;
}

const OPTIONS = ["--max-semi-space-size=2", "--heap-growing-percent=40", "--disable-sigusr1", "--no-warnings"];

describe("launcher", () => {
  test("runs the bundle beside it with the caller's arguments", async (t) => {
    const folder = await installed(t);
    const { stdout } = await run(join(folder, "k3s"), ["server", "--node-name", "a b", ""]);
    const expected = ["k3s", "", ...OPTIONS, join(folder, "lib/main.js"), "server", "--node-name", "a b", "", ""];
    assert.deepEqual(stdout.split("\n"), expected);
  });

  test("finds its folder through links and hands on the name of the link", async (t) => {
    const folder = await installed(t);
    await mkdir(join(folder, "elsewhere"));
    await symlink("../k3s", join(folder, "elsewhere/k3s"));
    await symlink("k3s", join(folder, "elsewhere/kubectl"));
    const { stdout } = await run(join(folder, "elsewhere/kubectl"), ["get", "pods"]);
    assert.deepEqual(stdout.split("\n"), ["kubectl", "", ...OPTIONS, join(folder, "lib/main.js"), "get", "pods", ""]);
  });

  test("does not let the environment load code into the product", async (t) => {
    const folder = await installed(t);
    const { stdout } = await run(join(folder, "k3s"), [], { env: { NODE_OPTIONS: "--require /tmp/x.js" } });
    assert.equal(stdout.split("\n")[1], "");
  });

  test("says what is missing when its lib folder is not there", async (t) => {
    const folder = await installed(t);
    await rm(join(folder, "lib"), { recursive: true });
    const stderr = `Cannot run "${join(folder, "lib/node")}": No such file or directory\n  Build k3s again: its lib folder belongs beside it\n`;
    await assert.rejects(run(join(folder, "k3s")), { code: 1, stderr });
  });
});
