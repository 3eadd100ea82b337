import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { CgroupBranch, findProgram, until } from "@k3s/testkit";
import { FROM_DIST, InstallerMachine } from "./installer-machine.ts";

const ID = "0123456789abcdef".repeat(4);

async function installed(t: TestContext): Promise<InstallerMachine> {
  const machine = await InstallerMachine.withDist(t);
  const result = await machine.install([], FROM_DIST);
  assert.equal(result.code, 0, result.stderr);
  return machine;
}

describe("scripts of the installer", () => {
  test("are clean under shellcheck", async (t) => {
    const machine = await installed(t);
    const shellcheck = await findProgram("shellcheck");
    for (const path of [join(import.meta.dirname, "../../../install.sh"), ...scripts(machine)]) {
      const child = spawn(shellcheck, ["--shell=sh", path], { stdio: ["ignore", "pipe", "inherit"] });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
      await once(child, "close");
      assert.equal(output, "");
    }
  });

  test("k3s-uninstall.sh leaves the file tree as it was", async (t) => {
    const machine = await installed(t);
    await machine.write("/var/lib/rancher/k3s/server/db/state.db", "rows");
    await machine.write("/etc/rancher/k3s/config.yaml", "debug: true\n");
    await machine.write("/etc/rancher/node/password", "secret");
    const result = await machine.runApart(["/usr/local/bin/k3s-uninstall.sh"]);
    assert.equal(result.code, 0);
    assert.match(result.stdout, /Kept: \/etc\/rancher\/node/);
    assert.deepEqual(await machine.changedFiles(), ["/etc/rancher/node/password"]);
  });

  test("k3s-uninstall.sh --keep-data leaves data and configuration", async (t) => {
    const machine = await installed(t);
    await machine.write("/var/lib/rancher/k3s/server/db/state.db", "rows");
    await machine.runApart(["/usr/local/bin/k3s-uninstall.sh", "--keep-data"]);
    assert.deepEqual(await machine.changedFiles(), ["/var/lib/rancher/k3s/server/db/state.db"]);
  });

  test("k3s-uninstall.sh --purge leaves nothing", async (t) => {
    const machine = await installed(t);
    await machine.write("/etc/rancher/node/password", "secret");
    await machine.runApart(["/usr/local/bin/k3s-uninstall.sh", "--purge"]);
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("k3s-agent-uninstall.sh leaves the programs of a server that stays", async (t) => {
    const machine = await installed(t);
    const env = { K3S_URL: "https://127.0.0.1:6443", K3S_TOKEN: "secret", ...FROM_DIST };
    await machine.install([], env);
    const { stdout } = await machine.runApart(["/usr/local/bin/k3s-agent-uninstall.sh"]);
    assert.match(stdout, /Another k3s stays on this machine/);
    const left = await machine.changedFiles();
    assert.ok(left.includes("/usr/local/bin/k3s"));
    assert.ok(!left.some((path) => path.includes("agent")));
  });

  test("k3s-killall.sh ends what is in the cgroups of k3s and nothing that is only called like it", async (t) => {
    const machine = await installed(t);
    const branch = await CgroupBranch.create(`k3s-install-${process.pid}`);
    const children: ChildProcess[] = [];
    t.after(async () => {
      for (const child of children) child.kill("SIGKILL");
      await branch[Symbol.asyncDispose]();
    });
    const [procs = ""] = branch.procsFiles;
    const root = procs.slice(0, procs.lastIndexOf("/"));
    // The machine then sees the branch as the root of its only hierarchy.
    await machine.bind(root, "/sys/fs/cgroup");
    const groups = {
      ...{ service: "system.slice/k3s.service", pod: `kubepods/besteffort/podx/${ID}` },
      // A person has named this container; what else has the name is not ours.
      ...{ named: "default/mine", scope: "system.slice/ctr-two.scope", other: "other", namesake: "mine" },
    };
    const runtime = "/run/k3s/containerd/io.containerd.runtime.v2.task";
    await machine.run(["mkdir", "-p", `${runtime}/k8s.io/${ID}`]);
    for (const [name, cgroupsPath] of [["mine", "/default/mine"] as const, ["two", "system.slice:ctr:two"] as const])
      await machine.write(`${runtime}/default/${name}/config.json`, JSON.stringify({ linux: { cgroupsPath } }));
    const alive = new Map<string, () => boolean>();
    for (const [name, group] of Object.entries(groups)) {
      await machine.run(["mkdir", "-p", `/sys/fs/cgroup/${group}`]);
      const line = `echo $$ > '${root}/${group}/cgroup.procs' && echo in && exec -a containerd-shim-runc-v2 sleep 1000`;
      const child = spawn("bash", ["-c", line], { stdio: ["ignore", "pipe", "inherit"] });
      children.push(child);
      await once(child.stdout, "data");
      alive.set(name, () => child.signalCode === null);
    }
    const result = await machine.runApart(["/usr/local/bin/k3s-killall.sh"]);
    assert.equal(result.code, 0, result.stderr);
    const living = () => [...alive].filter(([, isAlive]) => isAlive()).map(([name]) => name);
    await until("those of k3s are gone", () => Promise.resolve(living().length <= 2));
    assert.deepEqual(living(), ["other", "namesake"]);
    await assert.rejects(readFile(machine.path("/run/k3s/containerd")), { code: "ENOENT" });
    await assert.rejects(readFile(join(root, "kubepods/cgroup.procs")), { code: "ENOENT" });
  });
});

function scripts(machine: InstallerMachine): readonly string[] {
  return ["k3s-killall.sh", "k3s-uninstall.sh"].map((name) => machine.path(`/usr/local/bin/${name}`));
}
