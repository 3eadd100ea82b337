import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checksFor } from "../src/checks.ts";
import { evaluate, type Finding } from "../src/evaluate.ts";
import { formatReport } from "../src/format-report.ts";
import type { HostFacts } from "../src/host-facts.ts";
import { container, debian10, raspberryPi, rocky, ubuntu } from "./machines.ts";

const reportOf = (facts: HostFacts) => evaluate(facts, checksFor(facts));
const misses = (facts: HostFacts, severity?: Finding["severity"]) =>
  reportOf(facts)
    .findings.filter((found) => found.status === "missing" && (severity === undefined || found.severity === severity))
    .map(({ id }) => id);
const cureOf = (facts: HostFacts, id: string) => reportOf(facts).findings.find((found) => found.id === id)?.cure;

describe("evaluate()", () => {
  test("finds nothing missing on a good machine", () => {
    const report = reportOf(ubuntu());
    assert.deepEqual(misses(ubuntu()), []);
    assert.deepEqual([report.status, report.failures, report.warnings], ["pass", 0, 0]);
  });

  test("lets a machine with cgroups v1 pass, with warnings", () => {
    assert.equal(reportOf(debian10()).status, "pass");
    assert.deepEqual(misses(debian10()), ["swap", "cgroup-version", "iptables-version", "user-namespaces"]);
  });

  test("asks for options of cgroups v1 only where they are used", () => {
    const ids = (facts: HostFacts) => reportOf(facts).findings.map(({ id }) => id);
    assert.ok(ids(debian10()).includes("kernel-cgroup-freezer"));
    assert.ok(!ids(ubuntu()).includes("kernel-cgroup-freezer"));
    assert.ok(ids(ubuntu()).includes("kernel-cgroup-bpf"));
  });

  test("says what a container lacks, and what cannot be told from inside it", () => {
    const { status, findings } = reportOf(container());
    assert.equal(status, "fail");
    assert.deepEqual(misses(container(), "required"), [
      "kernel-log",
      "kernel-veth",
      "kubelet-sysctls",
      "kernel-modules",
      "iptables",
      "disk-writable",
    ]);
    const statusOf = (id: string) => findings.find((found) => found.id === id)?.status;
    assert.equal(statusOf("kernel-namespaces"), "ok");
    assert.equal(statusOf("kernel-vxlan"), "unknown");
    assert.equal(statusOf("clock-sync"), "unknown");
    assert.equal(statusOf("input-policy"), "unknown");
    assert.equal(statusOf("iptables-version"), undefined);
    for (const id of ["oom-score", "sysctls", "default-route", "overlayfs"]) assert.equal(statusOf(id), "missing");
  });

  test("knows a Raspberry Pi and its cures", () => {
    assert.deepEqual(misses(raspberryPi(), "required"), ["cgroup-controllers", "clock"]);
    assert.deepEqual(misses(raspberryPi(), "recommended"), [
      "memory",
      "kernel-vxlan",
      "disk-room",
      "disk-sync",
      "clock-sync",
    ]);
    assert.match(cureOf(raspberryPi(), "cgroup-controllers") ?? "", /cgroup_enable=memory/);
    assert.match(cureOf(raspberryPi(), "kernel-vxlan") ?? "", /linux-modules-extra-raspi/);
  });

  test("names what gets in the way on an enterprise Linux", () => {
    assert.deepEqual(misses(rocky(), "required"), ["routes", "port-6443", "disk-space", "rivals"]);
    assert.deepEqual(misses(rocky(), "recommended"), [
      ...["firewalld", "network-manager", "nm-cloud-setup", "pod-interfaces"],
      ...["disk-room", "disk-filesystem", "selinux"],
    ]);
    const found = (id: string) => reportOf(rocky()).findings.find((finding) => finding.id === id)?.found ?? "";
    assert.match(found("port-6443"), /haproxy, process 812/);
    assert.match(found("port-10250"), /of this k3s/);
    assert.match(found("firewalld"), /keeps out 8472\/udp, 10\.42\.0\.0\/16, 10\.43\.0\.0\/16$/);
    assert.match(found("pod-interfaces"), /cni0, cali1/);
    assert.match(found("routes"), /10\.0\.0\.0\/8 by tun0/);
  });

  test("takes the interfaces of a node that was here before for ours", () => {
    const base = ubuntu();
    const facts = {
      ...base,
      network: { ...base.network, interfaces: ["cni0", "flannel.1"] },
      software: { ...base.software, dataDirUsed: true },
    };
    assert.ok(!misses(facts).includes("pod-interfaces"));
  });

  test("gives every miss a cure of one line", () => {
    for (const facts of [debian10(), container(), raspberryPi(), rocky()])
      for (const { id, status, cure, effect } of reportOf(facts).findings.filter((found) => found.status === "missing"))
        assert.ok(cure !== undefined && cure !== "" && ![cure, effect].join("").includes("\n"), `${id}: ${status}`);
  });

  test("has a name of its own for every check", () => {
    const ids = checksFor(ubuntu()).map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });
});

describe("evaluate() of single facts", () => {
  const base = ubuntu();
  const rows: readonly { readonly title: string; readonly facts: HostFacts; readonly id: string }[] = [
    { title: "another user", facts: { ...base, system: { ...base.system, uid: 1000 } }, id: "user" },
    { title: "no programs", facts: { ...base, programs: { problem: "none" } }, id: "programs" },
    { title: "wrong settings", facts: { ...base, settingsProblem: "--x: unknown" }, id: "settings" },
    { title: "odd settings", facts: { ...base, settingsWarnings: ["x"] }, id: "settings-warnings" },
    { title: "few watches", facts: { ...base, limits: { ...base.limits, inotifyInstances: 8 } }, id: "inotify" },
    { title: "a full inode table", facts: { ...base, disk: { ...base.disk, freeFiles: 3 } }, id: "disk-space" },
    { title: "a read-only disk", facts: { ...base, disk: { ...base.disk, isWritable: false } }, id: "disk-writable" },
    {
      title: "a disk in memory",
      facts: { ...base, disk: { ...base.disk, filesystem: "tmpfs" } },
      id: "disk-filesystem",
    },
    {
      title: "a clock from before the build",
      facts: { ...base, clock: { ...base.clock, notBeforeMs: base.clock.nowMs + 2 * 24 * 3600 * 1000 } },
      id: "clock",
    },
    {
      title: "a firewall that drops",
      facts: { ...base, firewall: { ...base.firewall, inputPolicy: "DROP" } },
      id: "input-policy",
    },
    { title: "ufw with one port", facts: { ...base, firewall: { ...base.firewall, ufw: ["6443"] } }, id: "ufw" },
    {
      title: "AppArmor without tools",
      facts: { ...base, security: { ...base.security, appArmorParser: false } },
      id: "apparmor",
    },
  ];
  for (const { title, facts, id } of rows) test(`${title} misses ${id}`, () => assert.deepEqual(misses(facts), [id]));

  test("few keys that cannot be raised miss what the kubelet writes, and the keys", () => {
    assert.deepEqual(misses(lowKeys(base)), ["kubelet-sysctls", "root-maxkeys"]);
  });

  test("a user without privileges is told what only root can tell, not that it is missing", () => {
    const machine = { ...base.machine, canLowerOomScore: false, overlayfs: false };
    const facts = {
      ...base,
      machine,
      system: { ...base.system, uid: 1000 },
      disk: { ...base.disk, isWritable: false },
    };
    assert.deepEqual(misses(facts), ["user"]);
    const hidden = reportOf(facts).findings.filter(({ found }) => found === "only root can tell");
    assert.deepEqual(
      hidden.map(({ id }) => id),
      ["oom-score", "disk-writable", "overlayfs"],
    );
  });

  test("ufw that lets in everything is fine", () => {
    assert.deepEqual(misses({ ...base, firewall: { ...base.firewall, ufw: ["Anywhere"] } }), []);
  });
});

function lowKeys(base: HostFacts): HostFacts {
  return {
    ...base,
    limits: { ...base.limits, rootKeys: 200 },
    machine: { ...base.machine, refusedKubeletSysctls: ["kernel/keys/root_maxkeys"] },
  };
}

describe("formatReport()", () => {
  test("ends as k3s' own command does", () => {
    const text = (facts: HostFacts) => formatReport(reportOf(facts), { kernelConfig: facts.kernel.configFile });
    assert.match(text(ubuntu()), /\n0 failures, 0 warnings\nSTATUS: pass\n$/);
    assert.match(text(raspberryPi()), /\nSTATUS: 2 \(fail\)\n$/);
    assert.match(text(ubuntu()), /^info: reading kernel config from \/boot\/config-6\.8\.0-60-generic\n/);
    assert.match(text(ubuntu()), /\n- CONFIG_VXLAN: enabled \(as module\)\n/);
    assert.match(text(container()), /^info: no configuration of this kernel/);
    assert.match(
      text(raspberryPi()),
      /\n- cgroup hierarchy: cgroups v2 without memory \(fail\)\n {4}effect: No pod can run\n {4}cure: {3}Append cgroup_memory=1/,
    );
  });
});
