import assert from "node:assert/strict";
import { cp, glob, mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { DIST, SystemdHost, TestNetwork, until, writeImages, type Outcome } from "@k3s/testkit";
import { describeChanges } from "./file-tree-changes.ts";
import { ReleaseHost } from "./release-host.ts";
import { buildRelease } from "./build-release.ts";

const SECONDS = 1_000;
const LIMIT_MS = 180 * SECONDS;
const WORKLOAD = join(import.meta.dirname, "workload.yaml");
const V1 = "v1.20.2+k3s1";
const V2 = "v1.20.2+k3s2";
const IMAGES = "/var/lib/rancher/k3s/agent/images";
/** What may not change while k3s starts anew below a pod: its containers. */
const POD_IDENTITY = `jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\\n"}{end}`;
/** Both write on the host's disk when they are asked to end: the user's takes its time, the system's says whether it has seen that. */
const FAREWELL = ["default", "kube-system"]
  .map((namespace) => {
    const words = namespace === "default" ? "sleep 2; echo farewell >/disk/first" : "cat /disk/first >/disk/last";
    return `
apiVersion: v1
kind: Pod
metadata: { name: farewell, namespace: ${namespace}, labels: { app: farewell } }
spec:
  containers:
    - name: farewell
      image: docker.io/library/busybox:local
      imagePullPolicy: Never
      command: [sh, -c, "trap '${words}; exit 0' TERM; while :; do sleep 1; done"]
      volumeMounts: [{ name: disk, mountPath: /disk }]
  volumes: [{ name: disk, hostPath: { path: /var/farewell, type: DirectoryOrCreate } }]
`;
  })
  .join("---");
/** Of a machine that runs, whatever is installed on it. */
const LIVELY = /^\/(?:var\/(?:lib\/systemd|log\/(?:wtmp|btmp|lastlog|journal)|cache|tmp|farewell)|tmp)(?:\/|$)/;

/** An operator at one of the hosts. */
class Machine {
  readonly host: SystemdHost;
  readonly #url: string;

  constructor(host: SystemdHost, url: string) {
    this.host = host;
    this.#url = url;
  }

  /** `curl … | VARIABLES sh -s - ARGUMENTS` */
  install(variables: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Outcome> {
    const settings = Object.entries(variables).map(([name, value]) => `${name}='${value}'`);
    return this.shell(`curl -sfL ${this.#url}/install.sh | ${settings.join(" ")} sh -s - "$@"`, ...args);
  }

  shell(line: string, ...args: readonly string[]): Promise<Outcome> {
    return this.host.attempt("bash", "-o", "pipefail", "-c", line, "sh", ...args);
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.host.run("k3s", "kubectl", "--cache-dir=/run/kubectl", ...args);
  }

  async property(name: string, service = "k3s"): Promise<string> {
    return (await this.host.run("systemctl", "show", "--value", "-p", name, service)).trim();
  }

  async untilReady(node: string): Promise<void> {
    const path = `jsonpath={.status.conditions[?(@.type=="Ready")].status}`;
    await this.#until(
      `node ${node} is Ready`,
      async () => (await this.kubectl("get", "node", node, "-o", path)) === "True",
    );
  }

  /** Ready by what the kubelet says that runs now: until it has spoken the word of the one before it stands. */
  async untilKubeletHasReported(node: string): Promise<void> {
    const started = await this.property("ExecMainStartTimestamp");
    const since = Number(await this.host.run("date", "+%s", "-d", started)) * SECONDS;
    const path = `jsonpath={.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}`;
    const heard = async () => Date.parse(await this.kubectl("get", "node", node, "-o", path)) >= since;
    await this.#until(`the kubelet of ${node} has reported`, heard);
    await this.untilReady(node);
  }

  /** With the end of the journal in the error. */
  async #until(what: string, check: () => Promise<boolean>): Promise<void> {
    await until(what, check, LIMIT_MS).catch(async (error: unknown) => {
      const { stdout } = await this.host.attempt("journalctl", "-u", "k3s*", "-n", "80", "--no-pager", "-o", "cat");
      throw new Error(`${String(error)}; end of the journal:\n${stdout}`, { cause: error });
    });
  }

  /** The pods of the workload with their containers; how often these were restarted is the last word of each line. */
  async pods(): Promise<string> {
    return await this.kubectl(
      "get",
      "pods",
      "-l",
      "app in (web, farewell)",
      "--sort-by=.metadata.name",
      "-o",
      POD_IDENTITY,
    );
  }

  /** The node is Ready from before until its kubelet has spoken: that it is back shows by what it does. */
  async untilPodsAreBack(earlier: string): Promise<void> {
    await this.#until("every pod was started again", async () => {
      const now = (await this.pods()).trim().split("\n");
      const ids = now.map((line) => line.split(" ")[1] ?? "");
      return now.length === 3 && ids.every((id) => id !== "" && !earlier.includes(id));
    });
    await this.kubectl("wait", "--for=condition=Ready", "pods", "-l", "app in (web, farewell)", "--timeout=120s");
    const name = (await this.pods()).split(" ")[0] ?? "";
    await until("exec works", () => this.kubectl("exec", name, "--", "echo", "alive"));
  }

  /** What runs, is mounted or configured on the host because of k3s. */
  async remains(): Promise<string> {
    const { stdout } = await this.shell(String.raw`
      ps -eo args | grep -v 'ps -eo args' | grep -E '[k]3s|[c]ontainerd|[k]ube|[/]pause|[h]ttpd'
      grep -E 'k3s|kubelet|cni-' /proc/mounts
      ip -o link show | grep -vE '^[0-9]+: (lo|eth0)[:@]'
      ip netns list
      for family in iptables ip6tables; do $family-save | grep -E 'KUBE|CNI|flannel'; done
      systemctl list-units --no-legend 'k3s*' 'kubepods*'
      find /sys/fs/cgroup -name '*kube*' -o -name '*k3s*'`);
    return stdout;
  }
}

describe("the installer on hosts with systemd", { timeout: 30 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let network: TestNetwork;
  let releases: ReleaseHost;
  let one: Machine;
  let two: Machine;
  let fresh: ReadonlyMap<string, string>;
  let earlier: readonly string[];
  let identity = "";

  /** Each stands on those before it: after a failure the others fail at once. */
  let failed: string | undefined;
  const step = (name: string, run: () => Promise<void>): void => {
    void test(name, async () => {
      if (failed !== undefined) throw new Error(`Not tried, because of "${failed}"`);
      failed = name;
      await run();
      failed = undefined;
    });
  };

  before(async () => {
    earlier = await foldersOfTests();
    network = undo.use(await TestNetwork.create());
    releases = undo.use(await ReleaseHost.start(network));
    await releases.publish(V1, join(DIST, "k3s"));
    const machine = async (name: string, address: string) =>
      new Machine(undo.use(await SystemdHost.create({ name, address, network })), releases.url);
    one = await machine("one", "10.99.0.11");
    two = await machine("two", "10.99.0.12");
    await one.host.boot();
    fresh = await one.host.files();
  });
  after(() => undo.disposeAsync());

  const faults: readonly (readonly [string, () => Promise<Outcome>, RegExp])[] = [
    [
      "is cut off",
      async () => {
        await releases.cut(`${V1}/k3s`, 1 << 20);
        const outcome = await one.install({});
        await releases.cut(`${V1}/k3s`, undefined);
        return outcome;
      },
      /Cannot download http:\S+\/k3s: it ended early/,
    ],
    [
      "is not what its checksum says",
      async () => {
        const folder = join(releases.folder, "v0");
        await mkdir(folder);
        await cp(join(releases.folder, V1, "sha256sum-amd64.txt"), join(folder, "sha256sum-amd64.txt"));
        await writeFile(join(folder, "k3s"), "#!/bin/sh\ntouch /ran\n");
        return await one.install({ INSTALL_K3S_VERSION: "v0" });
      },
      /Cannot install k3s: what came is not what the release's checksum says/,
    ],
    [
      "does not fit the disk",
      () =>
        one.shell(
          `mount -t tmpfs -o size=16m small /usr/local/bin && curl -sfL ${releases.url}/install.sh | sh -; code=$?; umount /usr/local/bin; exit $code`,
        ),
      /Cannot install k3s into "\/usr\/local\/bin": 16 MiB are free, \d+ MiB are needed/,
    ],
  ];
  for (const [fault, attempt, said] of faults) {
    step(`changes nothing when a download ${fault}`, async () => {
      const { exitCode, stderr } = await attempt();
      assert.equal(exitCode, 1);
      assert.match(stderr, said);
      assert.deepEqual(describeChanges(fresh, await one.host.files(), LIVELY), []);
    });
  }

  step("one line makes a server, and pods run on it", async () => {
    await writeImages(one.host.outside(IMAGES));
    const { exitCode, stdout, stderr } = await one.install({}, "--node-label", "zone=a");
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /k3s is ready$/);
    await one.untilReady("one");
    await until("there is a service account", () => one.kubectl("get", "serviceaccount", "default"));
    await one.kubectl("apply", "-f", await copyIn(one, "workload.yaml", await readFile(WORKLOAD, "utf8")));
    await one.kubectl("apply", "-f", await copyIn(one, "farewell.yaml", FAREWELL));
    await one.kubectl("rollout", "status", "deployment/web", "--timeout=120s");
    await one.kubectl("wait", "--for=condition=Ready", "pod/farewell", "--timeout=60s");
    identity = await one.pods();
    assert.equal(identity.trim().split("\n").length, 3);
  });

  step("another k3s on the machine is refused, and the first is named", async () => {
    const { exitCode, stderr } = await one.install({ K3S_URL: "https://10.99.0.12:6443", K3S_TOKEN: "secret" });
    assert.equal(exitCode, 1);
    assert.match(stderr, /Cannot install service "k3s-agent": service "k3s" of k3s is on this machine/);
  });

  step("run again it keeps what it was told, shows what changes, and no pod notices", async () => {
    const { exitCode, stdout, stderr } = await one.install({ K3S_NODE_NAME: "one" }, "--kubelet-arg=max-pods=50");
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /\n {2}\+ --kubelet-arg=max-pods=50\n {2}\+ K3S_NODE_NAME=one\n/);
    await until("the kubelet has its new argument", async () => {
      const pods = await one.kubectl("get", "node", "one", "-o", "jsonpath={.status.capacity.pods}");
      return pods === "50";
    });
    const labels = await one.kubectl("get", "node", "one", "-o", "jsonpath={.metadata.labels.zone}");
    assert.equal(labels, "a");
    assert.equal(await one.pods(), identity);
  });

  step("run again with nothing new it leaves the service alone", async () => {
    const pid = await one.property("MainPID");
    const { stdout } = await one.install({});
    assert.match(stdout, /No change detected so skipping service start/);
    assert.equal(await one.property("MainPID"), pid);
  });

  step("the next release takes over while pods run on", async () => {
    await releases.publish(V2, await buildRelease("k3s2", undo));
    const { exitCode, stdout, stderr } = await one.install({});
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /Keeping the settings of k3s/);
    assert.match(await one.host.run("k3s", "--version"), /^k3s version v1\.20\.2\+k3s2 /);
    await one.untilKubeletHasReported("one");
    assert.equal(await one.pods(), identity);
  });

  step("a stop of the service is clean and leaves the pods", async () => {
    const address = await one.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
    await one.host.run("systemctl", "stop", "k3s");
    assert.deepEqual([await one.property("ActiveState"), await one.property("Result")], ["inactive", "success"]);
    await one.host.run("curl", "-sfm", "5", `http://${address}/`);
  });

  step("a supervisor that stands still is started anew by the watchdog; pods do not notice", async () => {
    // The unit's own interval is minutes.
    await mkdir(one.host.outside("/etc/systemd/system/k3s.service.d"), { recursive: true });
    await copyIn(one, "../etc/systemd/system/k3s.service.d/quick.conf", "[Service]\nWatchdogSec=6s\nRestartSec=1s\n");
    await one.host.run("systemctl", "daemon-reload");
    await one.host.run("systemctl", "start", "k3s");
    const pid = await one.property("MainPID");
    await one.host.run("kill", "-STOP", pid);
    await until(
      "the watchdog has started it anew",
      async () => {
        // On a busy machine its first start may take longer than the interval, too.
        const isAnew = Number(await one.property("NRestarts")) >= 1 && (await one.property("MainPID")) !== pid;
        return isAnew && (await one.property("ActiveState")) === "active";
      },
      LIMIT_MS,
    );
    await until("the pods are seen", async () => (await one.pods()) === identity);
    await one.host.run("rm", "-r", "/etc/systemd/system/k3s.service.d");
  });

  step("everything is back after a power cut", async () => {
    await one.host.powerCut();
    await one.host.boot();
    await one.untilPodsAreBack(identity);
    identity = await one.pods();
  });

  step("pods are asked to end when the machine goes down, and are back when it is up", async () => {
    await one.host.run("rm", "-rf", "/var/farewell/first", "/var/farewell/last");
    await one.host.shutDown();
    assert.equal(await readFile(one.host.outside("/var/farewell/last"), "utf8"), "farewell\n");
    await one.host.boot();
    await one.untilPodsAreBack(identity);
  });

  step("says what blocks a node that does not become ready in time, and why", async () => {
    await two.host.boot();
    fresh = await two.host.files();
    await writeImages(two.host.outside(IMAGES));
    const settings = { K3S_URL: "https://10.99.0.11:7443", K3S_TOKEN: "secret" };
    // How long it takes to unpack the programs, which comes first, is up to the machine.
    const first = await two.install({ ...settings, INSTALL_K3S_READY_TIMEOUT: "0" });
    assert.equal(first.exitCode, 0, first.stderr);
    const atWork = async () => (await two.property("StatusText", "k3s-agent")).startsWith("Starting agent");
    await until("the programs are unpacked", atWork, LIMIT_MS);
    const again = { INSTALL_K3S_FORCE_RESTART: "true", INSTALL_K3S_READY_TIMEOUT: "30" };
    const { exitCode, stderr } = await two.install({ ...settings, ...again });
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /\[ERROR\] k3s-agent is not ready: after 30 s it is still at Starting agent.*\n[^]*no server can be reached servers=10\.99\.0\.11:7443 error=.*\n[^]* waiting for a server of the cluster /,
    );
  });

  step("one line with K3S_URL makes an agent", async () => {
    const token = await one.host.run("cat", "/var/lib/rancher/k3s/server/node-token");
    const { exitCode, stderr } = await two.install({ K3S_URL: "https://10.99.0.11:6443", K3S_TOKEN: token });
    assert.equal(exitCode, 0, stderr);
    await one.untilReady("two");
    await runPod(one, "two");
  });

  step("k3s-killall.sh ends everything of k3s on the machine and keeps its data", async () => {
    await two.host.run("k3s-killall.sh");
    assert.equal(await two.remains(), "");
    await two.host.run("test", "-d", "/var/lib/rancher/k3s/agent");
  });

  step("k3s-agent-uninstall.sh leaves the disk as it was, but for what it names", async () => {
    const { exitCode, stdout, stderr } = await two.shell("k3s-agent-uninstall.sh");
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^Kept: \/etc\/rancher\/node,.*--purge/m);
    const kept = ["+ /etc/rancher", "+ /etc/rancher/node", "+ /etc/rancher/node/password"];
    assert.deepEqual(describeChanges(fresh, await two.host.files(), LIVELY), kept);
  });

  step("installs without a network from files", async () => {
    await network.cut("two");
    await cp(join(DIST, "k3s"), two.host.outside("/usr/local/bin/k3s"));
    await cp(join(releases.folder, "install.sh"), two.host.outside("/root/install.sh"));
    await writeImages(two.host.outside("/root/images"));
    const { exitCode, stderr } = await two.shell(
      "INSTALL_K3S_SKIP_DOWNLOAD=true INSTALL_K3S_IMAGES=/root/images sh /root/install.sh",
    );
    assert.equal(exitCode, 0, stderr);
    await two.untilReady("two");
    await runPod(two, "two");
  });

  step("k3s-uninstall.sh --purge leaves nothing, with pods running until then", async () => {
    const { exitCode, stderr } = await two.shell("k3s-uninstall.sh --purge && rm -r /root/images /root/install.sh");
    assert.equal(exitCode, 0, stderr);
    assert.equal(await two.remains(), "");
    assert.deepEqual(describeChanges(fresh, await two.host.files(), LIVELY), []);
  });

  test("nothing is left on the machine of the tests", async () => {
    const { id } = network;
    await undo.disposeAsync();
    assert.doesNotMatch(await readFile("/proc/self/mounts", "utf8"), /k3s-host-(?:one|two)/);
    assert.deepEqual(await Array.fromAsync(glob([`/run/netns/k3s-${id}-*`, `/sys/fs/cgroup/{,*/}k3s-${id}-*`])), []);
    assert.deepEqual(await foldersOfTests(), earlier);
  });
});

/** Folders of hosts and releases on the machine of the tests, in order; a run that was killed leaves its own behind. */
async function foldersOfTests(): Promise<readonly string[]> {
  return (await Array.fromAsync(glob(join(tmpdir(), "k3s-{host-one,host-two,releases}-*")))).toSorted();
}

/** Lays a text on the disk of a host and returns its path there. */
async function copyIn({ host }: Machine, name: string, text: string): Promise<string> {
  const path = join("/root", name);
  await writeFile(host.outside(path), text);
  return path;
}

/** Runs a pod to its end on a node. */
async function runPod(machine: Machine, node: string): Promise<void> {
  await until("there is a service account", () => machine.kubectl("get", "serviceaccount", "default"));
  const overrides = JSON.stringify({ spec: { nodeName: node } });
  const image = ["--image=docker.io/library/busybox:local", "--image-pull-policy=Never"];
  await machine.kubectl("run", "stay", ...image, `--overrides=${overrides}`, "--", "sleep", "1000");
  await machine.kubectl("wait", "--for=condition=Ready", "pod/stay", "--timeout=120s");
}
