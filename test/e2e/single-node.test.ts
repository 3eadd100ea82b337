import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { existsSync } from "node:fs";
import { glob, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { tracesOf } from "./host-traces.ts";
import { removalRecipe } from "./removal-recipe.ts";

const ROOT = join(import.meta.dirname, "../..");
const WORKLOAD = join(import.meta.dirname, "workload.yaml");
const KEPT_DATA = join(import.meta.dirname, "kept-data.yaml");
const SECONDS = 1_000;

/** What may not change while programs die around a pod: its name, its start and how often its container was restarted. */
const POD_IDENTITY = `jsonpath={range .items[*]}{.metadata.name} {.status.startTime} {.status.containerStatuses[0].state.running.startedAt} {.status.containerStatuses[0].restartCount}{"\\n"}{end}`;

/** The numbers of the first two ticks that a program passes on as they happen. Ends the program. */
async function ticksOf(program: ChildProcess): Promise<readonly number[]> {
  const ticks: number[] = [];
  try {
    if (program.stdout === null) throw new Error("Cannot read from a program without a pipe");
    for await (const line of createInterface({ input: program.stdout })) {
      if (ticks.push(Number(/^tick (\d+)$/.exec(line)?.[1])) === 2) break;
    }
    return ticks;
  } finally {
    program.kill();
  }
}

describe("one server from cold start to stop", { timeout: 15 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let network: TestNetwork;
  let cluster: K3sServer;
  let supervisor: number | undefined;
  let identity = "";
  let untouched: ReadonlySet<string>;

  const pods = () => cluster.kubectl("get", "pods", "-l", "app=web", "--sort-by=.metadata.name", "-o", POD_IDENTITY);
  const follow = (commands: string) => cluster.host.run("sh", "-c", `cd ${ROOT}\n${commands}`);
  const dataOfUser = () => cluster.host.outside("/var/lib/data-of-user/sub");
  const podName = async () =>
    (await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")).trim();
  const clusterIp = () => cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");

  before(async () => {
    network = undo.use(await TestNetwork.create());
    const host = undo.use(await TestHost.create({ name: "one", address: "10.99.0.11", network }));
    untouched = await tracesOf(host);
    cluster = new K3sServer(host);
    await cluster.provideImages();
  });
  after(() => undo.disposeAsync());

  test("becomes Ready from an empty data dir", async () => {
    cluster.start();
    await cluster.untilReady();
    [supervisor] = await cluster.supervisors();
    assert.notEqual(supervisor, undefined);
    assert.equal((await cluster.children()).size, 6);
  });

  test("runs a Deployment of two replicas", async () => {
    // A node can be Ready before the controllers have given the namespace its service account, which a bare pod needs.
    await until("there is a service account", () => cluster.kubectl("get", "serviceaccount", "default"));
    await cluster.kubectl("apply", "-f", WORKLOAD);
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=55s");
    identity = await pods();
    assert.equal(identity.trim().split("\n").length, 2);
  });

  // The clock is none of the pods behind the service.
  for (const [place, ask] of [
    ["on the host", (url: string) => cluster.host.run("curl", "-sfm", "2", url)],
    ["in another pod", (url: string) => cluster.kubectl("exec", "clock", "--", "wget", "-qO-", url)],
  ] as const) {
    test(`both replicas answer by the ClusterIP of their service ${place}`, async () => {
      await cluster.kubectl("wait", "--for=condition=Ready", "pod/clock", "--timeout=55s");
      const url = `http://${await clusterIp()}/`;
      const names = await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}");
      const answered = new Set<string>();
      await until("both have answered", async () => answered.add((await ask(url)).trim()).size === 2);
      assert.deepEqual([...answered].sort(), names.split(" ").sort());
    });
  }

  test("logs and exec work", async () => {
    const name = await podName();
    assert.equal((await cluster.kubectl("logs", name)).trim(), `serving ${name}`);
    assert.equal((await cluster.kubectl("exec", name, "--", "cat", "/page/greeting")).trim(), "first");
  });

  test("a failing command's exit code comes back through exec", async () => {
    await assert.rejects(cluster.kubectl("exec", await podName(), "--", "sh", "-c", "exit 7"), { exitCode: 7 });
  });

  for (const [name, ...args] of [
    ["logs -f", "logs", "-f", "--tail=1", "clock"] as const,
    ["attach", "attach", "clock"] as const,
  ]) {
    test(`${name} streams while the pod runs`, async () => {
      await cluster.kubectl("wait", "--for=condition=Ready", "pod/clock", "--timeout=55s");
      const ticks = await ticksOf(
        cluster.host.spawn(cluster.file, ["kubectl", ...args], { stdio: ["ignore", "pipe", "inherit"] }),
      );
      assert.equal((ticks[1] ?? 0) - (ticks[0] ?? 0), 1);
    });
  }

  test("a second server on the data dir is refused by name of the first", async () => {
    const refused = cluster.host.run(cluster.file, "server", "--https-listen-port", "7443");
    await assert.rejects(refused, (error: unknown) => {
      assert.match(
        String(error),
        new RegExp(`ERR_[A-Z_]+[^]*${String(supervisor)}|${String(supervisor)}[^]*ERR_[A-Z_]+`),
      );
      return true;
    });
  });

  test("port-forward carries a request", async () => {
    const name = await podName();
    const forward = cluster.host.spawn(cluster.file, ["kubectl", "port-forward", `pod/${name}`, "18080:8080"], {
      stdio: "ignore",
    });
    try {
      const answer = await until("the forwarded port answers", () =>
        cluster.host.run("curl", "-sfm", "2", "http://127.0.0.1:18080/"),
      );
      assert.equal(answer.trim(), name);
    } finally {
      forward.kill();
    }
  });

  test("a changed ConfigMap reaches the pods that mount it", async () => {
    await cluster.kubectl("patch", "configmap", "page", "-p", '{"data":{"greeting":"second"}}');
    const name = await podName();
    const isNew = async () => (await cluster.kubectl("exec", name, "--", "cat", "/page/greeting")).trim() === "second";
    await until("the pod sees the new text", isNew, 180 * SECONDS);
  });

  for (const child of ["kube-apiserver", "kubelet", "containerd"]) {
    test(`${child} comes back when it is killed, and no pod notices`, async () => {
      const killed = (await cluster.children()).get(child);
      await cluster.host.run("kill", "-9", String(killed));
      await until(`a new ${child} runs`, async () => {
        const pid = (await cluster.children()).get(child);
        return pid !== undefined && pid !== killed;
      });
      await cluster.untilReady();
      const name = await podName();
      await until(
        "exec works again",
        async () => (await cluster.kubectl("exec", name, "--", "echo", "alive")).trim() === "alive",
      );
      assert.deepEqual(await cluster.supervisors(), [supervisor]);
      assert.equal(await pods(), identity);
    });
  }

  test("SIGKILL of the supervisor ends every Kubernetes process; pods run on", async () => {
    const address = await clusterIp();
    await cluster.host.run("kill", "-9", String(supervisor));
    await until("no supervised process is left", async () => (await cluster.children()).size === 0, 2 * SECONDS);
    await cluster.host.run("curl", "-sfm", "5", `http://${address}/`);
  });

  test("the next start finds the same objects and the same pods", async () => {
    cluster.start();
    await cluster.untilReady();
    assert.equal(await pods(), identity);
    // The Node object still says Ready from before: that the kubelet serves again shows by what it does.
    const name = await podName();
    const greeting = () => cluster.kubectl("exec", name, "--", "cat", "/page/greeting");
    assert.equal((await until("exec works again", greeting)).trim(), "second");
  });

  test("a stop leaves nothing of ours but the pods", async () => {
    const address = await clusterIp();
    assert.equal(await cluster.stop(), 0);
    assert.deepEqual([...(await cluster.children()).keys(), ...(await cluster.supervisors())], []);
    await cluster.host.run("curl", "-sfm", "5", `http://${address}/`);
  });

  test("what README says removes nothing while pods run, whose volumes may be the user's", async () => {
    const { stopped } = await removalRecipe();
    await mkdir(dataOfUser(), { recursive: true });
    await writeFile(join(dataOfUser(), "file"), "precious");
    cluster.start();
    await cluster.untilReady();
    await cluster.kubectl("apply", "-f", KEPT_DATA);
    await until("its pod runs", () => cluster.kubectl("exec", "db-0", "--", "cat", "/data/file"));
    assert.equal(await cluster.stop(), 0);
    const before = await tracesOf(cluster.host);
    assert.match(await follow(stopped), /Nothing is removed: pods still run/);
    assert.deepEqual([...before.difference(await tracesOf(cluster.host))], []);
  });

  test("what README says removes pods, mounts, links, firewall rules, cgroups and files", async () => {
    const recipe = await removalRecipe();
    cluster.start();
    await cluster.untilReady();
    await until("exec works again", () => cluster.kubectl("exec", "clock", "--", "echo", "alive"));
    // A kubelet that misses the moment in which containers may go looks again a minute later.
    await until("the pods are gone", () => follow(recipe.running), 180 * SECONDS);
    assert.equal(await cluster.stop(), 0);
    const left = async () => [...(await tracesOf(cluster.host)).difference(untouched)].sort();
    const stopped = await left();
    for (const kind of ["mount", "link", "iptables", "cgroup", "file"])
      assert.ok(
        stopped.some((trace) => trace.startsWith(`${kind} `)),
        `there is no ${kind} to remove`,
      );
    await follow(recipe.stopped);
    assert.equal(await readFile(join(dataOfUser(), "file"), "utf8"), "precious");
    await rm(dirname(dataOfUser()), { recursive: true });
    assert.deepEqual(await left(), []);
  });

  test("nothing is left on the machine", async () => {
    const { id } = network;
    const folder = dirname(cluster.host.outside("/var/lib"));
    const owners = async () => {
      const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
      const mounts = (pid: string) => readFile(join("/proc", pid, "mountinfo"), "utf8").catch(() => "");
      return (await Promise.all(pids.map(mounts))).filter((text) => text.includes(folder)).length;
    };
    assert.notEqual(await owners(), 0);
    await undo.disposeAsync();
    assert.equal(await owners(), 0);
    assert.deepEqual(await Array.fromAsync(glob([`/run/netns/k3s-${id}-*`, `/sys/fs/cgroup/{,*/}k3s-${id}-*`])), []);
    assert.equal(existsSync(folder), false);
  });
});
