import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { leaveRootCgroup } from "../src/leave-root-cgroup.ts";

/** Where this machine has version 2 of cgroups mounted. */
async function cgroup2(): Promise<string> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  const mount = mounts.find(([, , type]) => type === "cgroup2");
  assert.ok(mount?.[1] !== undefined, "this machine has no cgroup 2 hierarchy");
  return mount[1];
}

test("leaveRootCgroup() moves real processes into a child cgroup and hands the controllers on", async (t) => {
  const root = join(await cgroup2(), `leave-root-test-${process.pid}`);
  await mkdir(root);
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  t.after(async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    await rmdir(join(root, "init"));
    await rmdir(root);
  });
  await once(child, "spawn");
  await writeFile(join(root, "cgroup.procs"), String(child.pid));

  await leaveRootCgroup(root);

  assert.equal(await readFile(join(root, "cgroup.procs"), "utf8"), "");
  assert.equal(await readFile(join(root, "init/cgroup.procs"), "utf8"), `${child.pid ?? 0}\n`);
  const [offered, handedOn] = await Promise.all(
    ["cgroup.controllers", "cgroup.subtree_control"].map((name) => readFile(join(root, name), "utf8")),
  );
  assert.deepEqual(handedOn?.trim().split(" ").sort(), offered?.trim().split(" ").sort());
});
