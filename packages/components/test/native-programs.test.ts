import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { sleep } from "@k3s/async";
import { compileStatic } from "../src/pause-image.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const run = promisify(execFile);

async function compiled(t: TestContext, program: "pause" | "aux-run"): Promise<string> {
  const output = join(await temporaryFolder(t), program);
  await compileStatic({ program, output, env: process.env });
  return output;
}

/** States of the children of `pid` ("Z" is one that nobody has reaped). */
async function childStates(pid: number): Promise<string[]> {
  const states: string[] = [];
  for (const name of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    const status = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const [state = "", parent = ""] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    if (Number(parent) === pid) states.push(state);
  }
  return states;
}

async function until(isTrue: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await isTrue())) await sleep(10, signal);
}

describe("pause", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`ends with code 0 on ${signal}`, async (t) => {
      const child = spawn(await compiled(t, "pause"));
      t.after(() => child.kill("SIGKILL"));
      const masks = async () => await readFile(`/proc/${child.pid ?? 0}/status`, "utf8");
      await until(async () => /SigCgt:\s*0*1?[0-9a-f]*4002$/m.test(await masks()), t.signal);
      child.kill(signal);
      assert.deepEqual(await once(child, "exit"), [0, null]);
    });
  }

  test("reaps orphans when it is the first process of a namespace", async (t) => {
    const pause = await compiled(t, "pause");
    const script = `(sleep 0.05 & echo started) ; exec ${pause}`;
    const child = spawn("unshare", ["--pid", "--fork", "--kill-child", "sh", "-c", script]);
    t.after(() => child.kill("SIGKILL"));
    await once(child.stdout, "data");
    const [line = ""] = (await run("ps", ["--no-headers", "-o", "pid", "--ppid", String(child.pid)])).stdout.split(
      "\n",
    );
    const first = Number(line);
    await until(async () => (await readFile(`/proc/${first}/comm`, "utf8")) === "pause\n", t.signal);
    await until(async () => (await childStates(first)).length === 0, t.signal);
    assert.deepEqual(await childStates(first), []);
  });
});

describe("aux-run", () => {
  test("runs the tool of the name it was called by, with the libraries beside it", async (t) => {
    const program = await compiled(t, "aux-run");
    const folder = join(program, "..");
    await mkdir(join(folder, "libexec"));
    const script = '#!/bin/sh\necho "$0|$LD_LIBRARY_PATH|$XTABLES_LIBDIR|$*"\nexit 3\n';
    await writeFile(join(folder, "libexec/iptables"), script, { mode: 0o755 });
    await symlink("aux-run", join(folder, "iptables"));
    const failure = await run(join(folder, "iptables"), ["-t", "nat"], { env: { LD_LIBRARY_PATH: "/elsewhere" } }).then(
      () => assert.fail("exit code was lost"),
      (error: unknown) => error as { code: number; stdout: string },
    );
    assert.equal(failure.code, 3);
    const expected = [join(folder, "libexec/iptables"), join(folder, "lib"), join(folder, "lib/xtables"), "-t nat"];
    assert.equal(failure.stdout, `${expected.join("|")}\n`);
  });

  test("says which tool is not there", async (t) => {
    const program = await compiled(t, "aux-run");
    const path = join(program, "../absent");
    await symlink("aux-run", path);
    const target = join(program, "../libexec/absent");
    await assert.rejects(run(path), { code: 127, stderr: `Cannot run "${target}": No such file or directory\n` });
  });
});
