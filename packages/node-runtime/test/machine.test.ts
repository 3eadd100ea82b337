import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { NodeRuntimeError } from "../src/errors.ts";
import { parseCgroupMounts, parseCgroupPath } from "../src/inspect-cgroups.ts";
import { inspectMachine, parseIptablesVersion, parseKernelRelease } from "../src/inspect-machine.ts";
import type { MachineFacts } from "../src/machine-facts.ts";
import { chooseSettings, machineWarnings } from "../src/node-settings.ts";

const V1 = [
  "tmpfs /sys/fs/cgroup tmpfs ro 0 0",
  "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0",
  "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0",
  "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0",
  "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0",
].join("\n");

describe("parseCgroupMounts()", () => {
  test("reads the controllers of version 1", () => {
    assert.deepEqual(parseCgroupMounts(V1, ""), { version: "v1", controllers: ["cpu", "cpuacct", "memory", "pids"] });
  });

  test("calls version 1 beside an empty version 2 hybrid", () => {
    const mounts = `${V1}\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;
    const { version, controllers } = parseCgroupMounts(mounts, "");
    assert.equal(version, "hybrid");
    assert.ok(controllers.includes("memory"));
    assert.ok(!controllers.includes("unified"));
  });

  test("reads the controllers of version 2 from the root", () => {
    assert.deepEqual(parseCgroupMounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "cpuset cpu io memory pids\n"), {
      version: "v2",
      controllers: ["cpu", "cpuset", "io", "memory", "pids"],
    });
  });

  test("finds nothing where nothing is mounted", () => {
    assert.deepEqual(parseCgroupMounts("proc /proc proc rw 0 0\n", ""), { version: "v1", controllers: [] });
  });
});

describe("parseCgroupPath()", () => {
  const cases = [
    { text: "0::/user.slice/session-1.scope\n", path: "/user.slice/session-1.scope" },
    { text: "2:memory:/x\n1:name=systemd:/system.slice/k3s.service\n0::/other\n", path: "/system.slice/k3s.service" },
    { text: "2:memory:/docker/abc\n", path: "/docker/abc" },
    { text: "0::/a:b\n", path: "/a:b" },
    { text: "", path: "/" },
  ];
  for (const { text, path } of cases)
    test(`parseCgroupPath() finds ${path}`, () => assert.equal(parseCgroupPath(text), path));
});

test("parseKernelRelease() reads two numbers", () => {
  assert.deepEqual(parseKernelRelease("6.1.0-18-amd64"), { major: 6, minor: 1 });
  assert.deepEqual(parseKernelRelease("odd"), { major: 0, minor: 0 });
});

describe("parseIptablesVersion()", () => {
  const cases = [
    { text: "iptables v1.8.9 (nf_tables)\n", facts: { backend: "nft", version: "1.8.9" } },
    { text: "iptables v1.8.7 (legacy)\n", facts: { backend: "legacy", version: "1.8.7" } },
    { text: "iptables v1.6.1\n", facts: { backend: "legacy", version: "1.6.1" } },
    { text: "", facts: { backend: "missing", version: "" } },
  ];
  for (const { text, facts } of cases)
    test(`parseIptablesVersion() says ${facts.backend} for ${JSON.stringify(text)}`, () =>
      assert.deepEqual(parseIptablesVersion(text), facts));
});

describe("inspectMachine()", () => {
  test("answers for this machine and leaves no trace", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "machine-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const scoreBefore = await readFile("/proc/self/oom_score_adj", "utf8");
    const mountsBefore = await readFile("/proc/self/mounts", "utf8");
    const facts = await inspectMachine({
      overlayDirectory: join(folder, "containerd"),
      path: process.env["PATH"] ?? "",
    });
    assert.equal(await readFile("/proc/self/oom_score_adj", "utf8"), scoreBefore);
    assert.equal((await readFile("/proc/self/mounts", "utf8")).includes(folder), mountsBefore.includes(folder));
    assert.deepEqual(await readdir(join(folder, "containerd")), []);
    assert.ok(facts.kernel.major >= 3);
    assert.ok(facts.cgroups.own.startsWith("/"));
  });

  test("finds no iptables and no overlay without programs", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "machine-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const facts = await inspectMachine({ overlayDirectory: folder, path: folder });
    assert.equal(facts.iptables.backend, "missing");
    assert.equal(facts.overlayfs, false);
  });
});

const good: MachineFacts = {
  kernel: { major: 6, minor: 1 },
  cgroups: {
    version: "v2",
    controllers: ["cpu", "cpuset", "io", "memory", "pids"],
    own: "/system.slice/k3s.service",
    init: "/init.scope",
  },
  userNamespace: false,
  canLowerOomScore: true,
  swapOn: false,
  iptables: { backend: "nft", version: "1.8.9" },
  overlayfs: true,
  refusedKubeletSysctls: [],
  kernelLog: true,
};
const nobody = { snapshotter: undefined, underSystemd: false };

describe("chooseSettings()", () => {
  test("takes the ordinary way on an ordinary machine", () => {
    assert.deepEqual(chooseSettings(good, nobody), {
      cgroupDriver: "cgroupfs",
      snapshotter: "overlayfs",
      restrictOomScoreAdj: false,
      cpuCfsQuota: true,
      kubeletCgroups: undefined,
      runtimeCgroups: undefined,
      cgroupV1: false,
      userNamespace: false,
      unprivilegedPorts: true,
    });
    assert.deepEqual(machineWarnings(good, nobody), []);
  });

  test("uses systemd's driver only under systemd, with cpuset, outside a user namespace", () => {
    const driver = (facts: MachineFacts, underSystemd: boolean) =>
      chooseSettings(facts, { ...nobody, underSystemd }).cgroupDriver;
    const withoutCpuset = {
      ...good,
      cgroups: { ...good.cgroups, version: "v1" as const, controllers: ["memory", "pids"] },
    };
    assert.equal(driver(good, true), "systemd");
    assert.equal(driver(good, false), "cgroupfs");
    assert.equal(driver({ ...good, userNamespace: true }, true), "cgroupfs");
    assert.equal(driver(withoutCpuset, true), "cgroupfs");
  });

  test("copies images where overlay mounts fail, unless the user has chosen", () => {
    const facts = { ...good, overlayfs: false };
    assert.equal(chooseSettings(facts, nobody).snapshotter, "native");
    assert.equal(chooseSettings(facts, { ...nobody, snapshotter: "overlayfs" }).snapshotter, "overlayfs");
    const [warning, ...more] = machineWarnings(facts, nobody);
    assert.deepEqual(more, []);
    assert.doesNotMatch(warning?.cure ?? "fuse", /fuse/, "that one is refused");
    assert.equal(machineWarnings(facts, { ...nobody, snapshotter: "overlayfs" }).length, 0);
  });

  test("restricts scores that cannot be lowered", () => {
    assert.equal(chooseSettings({ ...good, canLowerOomScore: false }, nobody).restrictOomScoreAdj, true);
    assert.equal(chooseSettings({ ...good, userNamespace: true }, nobody).restrictOomScoreAdj, true);
  });

  test("puts its own cgroups aside in a scope and in a container", () => {
    const cgroups = (own: string, init: string) => {
      const { kubeletCgroups, runtimeCgroups } = chooseSettings(
        { ...good, cgroups: { ...good.cgroups, own, init } },
        nobody,
      );
      return [kubeletCgroups, runtimeCgroups];
    };
    assert.deepEqual(cgroups("/user.slice/session-1.scope", "/init.scope"), ["/k3s", undefined]);
    assert.deepEqual(cgroups("/docker/abc", "/docker/abc"), ["/k3s", "/k3s"]);
    assert.deepEqual(cgroups("/", "/"), [undefined, undefined]);
  });

  const lacking = [
    { version: "v2" as const, controllers: ["cpu", "memory", "pids"], missing: /"cpuset"/ },
    { version: "v2" as const, controllers: ["cpu", "cpuset", "memory"], missing: /"pids"/ },
    { version: "hybrid" as const, controllers: ["cpu", "pids"], missing: /"memory"/ },
  ];
  for (const { version, controllers, missing } of lacking)
    test(`refuses ${version} without ${String(missing)}`, () => {
      const facts = { ...good, cgroups: { ...good.cgroups, version, controllers } };
      assert.throws(
        () => chooseSettings(facts, nobody),
        (error) =>
          error instanceof NodeRuntimeError &&
          error.code === "ERR_CGROUP_CONTROLLER_MISSING" &&
          missing.test(error.message),
      );
    });
});

test("machineWarnings() names finding, effect and cure of everything that is missing", () => {
  const bad: MachineFacts = {
    ...good,
    cgroups: { ...good.cgroups, version: "v1", controllers: ["memory", "pids"] },
    canLowerOomScore: false,
    swapOn: true,
    iptables: { backend: "missing", version: "" },
    overlayfs: false,
    refusedKubeletSysctls: ["kernel/panic"],
    kernelLog: false,
  };
  const warnings = machineWarnings(bad, nobody);
  assert.equal(warnings.length, 7);
  for (const { found, effect, cure } of warnings) assert.ok(found !== "" && effect !== "" && cure !== "");
  assert.ok(warnings.some(({ found }) => found.includes("kernel/panic")));
});
