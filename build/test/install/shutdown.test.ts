import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { CgroupBranch } from "@k3s/testkit";
import { FROM_DIST, InstallerMachine } from "./installer-machine.ts";

const RUNTIME = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io";

/** What containerd writes into the bundle of a container, as far as the script reads it. */
function bundleOf(kind: "sandbox" | "container", namespace: string): string {
  const annotations = { "io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-namespace": namespace };
  return JSON.stringify({ ociVersion: "1.0.2", annotations }, undefined, 2);
}

/** A machine with processes that stand for containers: each writes its name into `file` when it is asked to end, and ends. */
async function machineWithPods(t: TestContext, file: string): Promise<InstallerMachine> {
  const machine = await InstallerMachine.withDist(t);
  assert.equal((await machine.install([], FROM_DIST)).code, 0);
  const undo = new AsyncDisposableStack(); // in reverse: a group with a process in it stays
  t.after(() => undo.disposeAsync());
  const branch = undo.use(await CgroupBranch.create(`k3s-shutdown-${process.pid}`));
  const [procs = ""] = branch.procsFiles;
  const root = procs.slice(0, procs.lastIndexOf("/"));
  const containers = [
    { name: "sandbox", kind: "sandbox", namespace: "default" },
    { name: "system", kind: "container", namespace: "kube-system" },
    { name: "user", kind: "container", namespace: "default" },
  ] as const;
  for (const [index, { name, kind, namespace }] of containers.entries()) {
    const id = String(index).repeat(64);
    const line = `mkdir '${root}/${id}'; echo $$ >'${root}/${id}/cgroup.procs'
      trap 'sleep 0.5; echo ${name} >>${file}; exit' TERM; echo in; while :; do sleep 0.1; done`;
    const child = spawn("bash", ["-c", line], { stdio: ["ignore", "pipe", "inherit"] });
    const gone = once(child, "exit");
    undo.defer(async () => {
      child.kill("SIGKILL");
      await gone;
    });
    await once(child.stdout, "data");
    await machine.write(`${RUNTIME}/${id}/init.pid`, String(child.pid));
    await machine.write(`${RUNTIME}/${id}/config.json`, bundleOf(kind, namespace));
  }
  return machine;
}

interface Moment {
  /** What systemd says of the machine. */
  readonly systemd: string;
  /** As OpenRC sets it for its scripts. */
  readonly env: Readonly<Record<string, string>>;
  readonly ended: string;
}

const ORDER = "user\nsystem\n";
const MOMENTS: Readonly<Record<string, readonly Moment[]>> = {
  systemd: [
    { systemd: "running", env: {}, ended: "" },
    { systemd: "stopping", env: {}, ended: ORDER },
  ],
  OpenRC: [
    { systemd: "offline", env: { RC_GOINGDOWN: "NO" }, ended: "" },
    { systemd: "offline", env: { RC_GOINGDOWN: "YES" }, ended: ORDER },
  ],
};

for (const [manager, moments] of Object.entries(MOMENTS)) {
  test(`k3s-killall.sh asks pods of users, then those of the system to end, when ${manager} ends the machine and only then`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "k3s-shutdown-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "ended");
    await writeFile(file, "");
    const machine = await machineWithPods(t, file);
    for (const { systemd, env, ended } of moments) {
      await machine.write("/usr/local/bin/systemctl", `#!/bin/sh\necho ${systemd}\n`, 0o755);
      const { code, stderr } = await machine.runApart(["/usr/local/bin/k3s-killall.sh", "--if-shutdown"], env);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.equal(await readFile(file, "utf8"), ended);
    }
  });
}

test("k3s-killall.sh ends nothing when it is asked for help", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "k3s-shutdown-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const machine = await machineWithPods(t, join(folder, "ended"));
  await machine.write("/usr/local/bin/systemctl", "#!/bin/sh\necho $* >>/fixture/calls\n", 0o755);
  for (const word of ["--help", "stop"]) {
    const { code, stderr } = await machine.runApart(["/usr/local/bin/k3s-killall.sh", word]);
    assert.equal(code, 2);
    assert.match(stderr, /^usage: /);
  }
  assert.ok(!(await machine.changedFiles()).includes("/fixture/calls"));
  await assert.rejects(machine.read("/fixture/calls"));
});
