import type { HostFacts } from "../src/host-facts.ts";
import { KERNEL_OPTIONS } from "../src/kernel-options.ts";

const GIB = 1024 ** 3;
const NOW = Date.UTC(2026, 5, 1);
const NOT_IN_UBUNTU = new Set(["CGROUP_FREEZER", "CGROUP_DEVICE", "IP_NF_TARGET_MASQUERADE"]);

function optionNames(): string[] {
  return KERNEL_OPTIONS.flatMap(({ names }) => names);
}

function modules(state: "loaded" | "loadable" | "absent" | "unknown"): HostFacts["kernel"]["modules"] {
  return Object.fromEntries(KERNEL_OPTIONS.flatMap(({ modules: its = [] }) => its.map((name) => [name, state])));
}

/** A server with Ubuntu 24.04 on which nothing is missing. */
export function ubuntu(): HostFacts {
  const isModule = new Set(KERNEL_OPTIONS.flatMap(({ names, modules: its }) => (its === undefined ? [] : names)));
  const names = optionNames().filter((name) => !NOT_IN_UBUNTU.has(name));
  return {
    system: {
      ...{ uid: 0, distribution: "Ubuntu 24.04.2 LTS", kernelRelease: "6.8.0-60-generic", board: "" },
      ...{ cpus: 4, memoryBytes: 8 * GIB },
    },
    programs: { versions: "Kubernetes 1.20.2, containerd 1.6.20, runc 1.1.5" },
    settingsProblem: undefined,
    settingsWarnings: [],
    machine: {
      kernel: { major: 6, minor: 8 },
      cgroups: {
        ...{ version: "v2", own: "/user.slice/user-0.slice/session-1.scope", init: "/init.scope" },
        controllers: ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"],
      },
      ...{ userNamespace: false, canLowerOomScore: true, swapOn: false, overlayfs: true, kernelLog: true },
      iptables: { backend: "nft", version: "1.8.10" },
      refusedKubeletSysctls: [],
    },
    kernel: {
      configFile: "/boot/config-6.8.0-60-generic",
      options: Object.fromEntries(names.map((name) => [name, isModule.has(name) ? "module" : "built-in"])),
      modules: modules("loadable"),
      tried: {},
    },
    moduleGroups: [
      { names: ["overlay"], works: true, missing: [] },
      { names: ["br_netfilter"], works: false, missing: [] },
    ],
    sysctls: [{ name: "net/ipv4/conf/all/forwarding", wanted: "1", current: "0", isWritable: true }],
    limits: {
      ...{ inotifyInstances: 128, inotifyWatches: 65_536, userNamespaces: 31_000, rootKeys: 1_000_000 },
      userNamespacesRestricted: false,
    },
    network: {
      ...{ hasDefaultRoute: true, overlappingRoutes: [], interfaces: ["eth0", "lo"] },
      ...{ networkManager: "absent", cloudSetup: false },
    },
    firewall: { firewalld: undefined, ufw: undefined, inputPolicy: "ACCEPT", forwardPolicy: "ACCEPT" },
    ports: [
      { port: 6443, purpose: "the Kubernetes API" },
      { port: 10_250, purpose: "the kubelet" },
    ],
    disk: {
      ...{ dataDir: "/var/lib/rancher/k3s", place: "/var/lib", isWritable: true },
      ...{ filesystem: "ext4", mountPoint: "/", mountOptions: ["rw", "relatime"] },
      ...{ freeBytes: 40 * GIB, freeFiles: 2_000_000, syncMs: { median: 0.8, worst: 3 } },
    },
    clock: { nowMs: NOW, notBeforeMs: NOW - 30 * 24 * 3600 * 1000, isSynchronized: true },
    software: { ownPid: undefined, rivals: [], cniConfigs: [], dataDirUsed: false },
    security: { appArmor: true, appArmorParser: true, seLinux: "off", containerPolicy: false },
  };
}

/** cgroups of version 1, iptables with the fault of 1.8.2, swap on, and limits that are refused to nobody. */
export function debian10(): HostFacts {
  const base = ubuntu();
  return {
    ...base,
    system: { ...base.system, distribution: "Debian GNU/Linux 10 (buster)", kernelRelease: "4.19.0-27-amd64" },
    machine: {
      ...base.machine,
      kernel: { major: 4, minor: 19 },
      cgroups: {
        ...{ version: "hybrid", own: "/user.slice", init: "/init.scope" },
        controllers: ["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "net_cls", "pids"],
      },
      iptables: { backend: "nft", version: "1.8.2" },
      swapOn: true,
    },
    kernel: {
      ...base.kernel,
      configFile: "/boot/config-4.19.0-27-amd64",
      options: { ...base.kernel.options, CGROUP_FREEZER: "built-in", CGROUP_DEVICE: "built-in" },
    },
    limits: { ...base.limits, userNamespacesRestricted: true },
  };
}

/** A container without privileges: no configuration of the kernel, no modules, nothing that it may set. */
export function container(): HostFacts {
  const base = ubuntu();
  return {
    ...base,
    system: { ...base.system, distribution: "Alpine Linux v3.20", kernelRelease: "6.8.0-60-generic" },
    machine: {
      ...base.machine,
      cgroups: { version: "v2", controllers: ["cpu", "cpuset", "memory", "pids"], own: "/", init: "/" },
      ...{ userNamespace: true, canLowerOomScore: false, overlayfs: false, kernelLog: false },
      iptables: { backend: "missing", version: "" },
      refusedKubeletSysctls: ["vm/overcommit_memory", "kernel/panic"],
    },
    kernel: {
      ...{ configFile: undefined, options: {}, modules: modules("unknown") },
      tried: { NAMESPACES: true, NET_NS: true, CGROUPS: true, VETH: false },
    },
    moduleGroups: [{ names: ["br_netfilter"], works: false, missing: ["br_netfilter"] }],
    sysctls: [{ name: "net/ipv4/conf/all/forwarding", wanted: "1", current: "0", isWritable: false }],
    network: { ...base.network, hasDefaultRoute: false },
    firewall: { firewalld: undefined, ufw: undefined, inputPolicy: undefined, forwardPolicy: undefined },
    disk: { ...base.disk, filesystem: "overlay", mountOptions: ["rw", "noexec"], syncMs: undefined },
    clock: { ...base.clock, isSynchronized: undefined },
  };
}

/** Ubuntu on a Raspberry Pi: no memory controller, vxlan in a package that is not installed, an SD card, no clock yet. */
export function raspberryPi(): HostFacts {
  const base = ubuntu();
  return {
    ...base,
    system: {
      ...{ ...base.system, distribution: "Ubuntu 22.04.5 LTS", kernelRelease: "5.15.0-1061-raspi" },
      ...{ board: "Raspberry Pi 3 Model B Plus Rev 1.3", memoryBytes: 900 * 1024 ** 2 },
    },
    machine: {
      ...base.machine,
      cgroups: { ...base.machine.cgroups, controllers: ["cpu", "cpuset", "io", "pids"] },
    },
    kernel: { ...base.kernel, modules: { ...base.kernel.modules, vxlan: "absent" } },
    disk: { ...base.disk, freeBytes: 2 * GIB, syncMs: { median: 35, worst: 900 } },
    clock: { nowMs: 90_000, notBeforeMs: NOW, isSynchronized: false },
  };
}

/** An enterprise Linux in a cloud, with everything that is known to get in the way, and another kubelet. */
export function rocky(): HostFacts {
  const base = ubuntu();
  return {
    ...base,
    system: { ...base.system, distribution: "Rocky Linux 9.4 (Blue Onyx)", kernelRelease: "5.14.0-427.el9.x86_64" },
    network: {
      ...{ hasDefaultRoute: true, interfaces: ["cali1", "cni0", "eth0", "lo"] },
      overlappingRoutes: [{ range: "10.42.0.0/16", route: "10.0.0.0/8", via: "tun0" }],
      ...{ networkManager: "manages-pods", cloudSetup: true },
    },
    firewall: {
      firewalld: ["6443/tcp", "10000-11000/tcp"],
      ufw: undefined,
      inputPolicy: undefined,
      forwardPolicy: "DROP",
    },
    ports: [
      { port: 6443, purpose: "the Kubernetes API", takenBy: { name: "haproxy", pid: 812, isOurs: false } },
      { port: 10_250, purpose: "the kubelet", takenBy: { name: "kubelet", pid: 901, isOurs: true } },
    ],
    disk: { ...base.disk, filesystem: "nfs4", freeBytes: 50 * 1024 ** 2, freeFiles: undefined },
    software: {
      ...{ ownPid: undefined, rivals: [{ name: "kubelet", pid: 77 }], dataDirUsed: false },
      cniConfigs: ["10-calico.conflist"],
    },
    security: { appArmor: false, appArmorParser: false, seLinux: "enforcing", containerPolicy: false },
  };
}
