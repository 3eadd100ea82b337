import { readFile } from "node:fs/promises";
import { runProgram } from "@k3s/node-runtime";
import { isThere, readText } from "./read-file.ts";

/** Features that show in a file, by the option that brings them. */
const PLACES: Readonly<Record<string, string>> = {
  NAMESPACES: "/proc/self/ns/mnt",
  NET_NS: "/proc/self/ns/net",
  PID_NS: "/proc/self/ns/pid",
  IPC_NS: "/proc/self/ns/ipc",
  UTS_NS: "/proc/self/ns/uts",
  USER_NS: "/proc/self/ns/user",
  KEYS: "/proc/sys/kernel/keys/maxkeys",
  CGROUPS: "/proc/self/cgroup",
  POSIX_MQUEUE: "/proc/sys/fs/mqueue",
  SECCOMP: "/proc/sys/kernel/seccomp",
  SECCOMP_FILTER: "/proc/sys/kernel/seccomp/actions_avail",
  IP_VS: "/proc/net/ip_vs",
};

/** Rows of /proc/cgroups by the option that brings them. */
const CONTROLLERS: Readonly<Record<string, string>> = {
  CPUSETS: "cpuset",
  CGROUP_SCHED: "cpu",
  CGROUP_CPUACCT: "cpuacct",
  MEMCG: "memory",
  CGROUP_PIDS: "pids",
  CGROUP_FREEZER: "freezer",
  CGROUP_DEVICE: "devices",
  BLK_CGROUP: "blkio",
  CGROUP_HUGETLB: "hugetlb",
  CGROUP_PERF: "perf_event",
  CGROUP_NET_PRIO: "net_prio",
};

const VERSION_1_NAMES: Readonly<Record<string, string>> = { io: "blkio" };

const rule = (match: string) => `iptables -w 5 -A OUTPUT ${match}`;
/** Commands that succeed where the kernel has the feature. They run in a network namespace that ends with them. */
const TRIALS: Readonly<Record<string, string>> = {
  VETH: "ip link add k3sv0 type veth peer name k3sv1",
  BRIDGE: "ip link add k3sb0 type bridge",
  VXLAN: "ip link add k3sx0 type vxlan id 1 dstport 8472",
  DUMMY: "ip link add k3sd0 type dummy",
  WIREGUARD: "ip link add k3sw0 type wireguard",
  BRIDGE_NETFILTER: "test -e /proc/sys/net/bridge/bridge-nf-call-iptables",
  NF_CONNTRACK: rule("-m conntrack --ctstate NEW -j ACCEPT"),
  NETFILTER_XT_MATCH_CONNTRACK: rule("-m conntrack --ctstate ESTABLISHED -j ACCEPT"),
  NETFILTER_XT_MATCH_COMMENT: rule("-m comment --comment k3s -j ACCEPT"),
  NETFILTER_XT_MATCH_ADDRTYPE: rule("-m addrtype --dst-type LOCAL -j ACCEPT"),
  NETFILTER_XT_MATCH_MULTIPORT: rule("-p tcp -m multiport --dports 1,2 -j ACCEPT"),
  NETFILTER_XT_MATCH_STATISTIC: rule("-m statistic --mode random --probability 0.5 -j ACCEPT"),
  NETFILTER_XT_MARK: rule("-m mark --mark 1 -j ACCEPT"),
  IP_NF_FILTER: "iptables -w 5 -t filter -S",
  IP_NF_NAT: "iptables -w 5 -t nat -S",
  NF_NAT: "iptables -w 5 -t nat -A OUTPUT -p tcp -j DNAT --to-destination 192.0.2.1:1",
  IP_NF_TARGET_MASQUERADE: "iptables -w 5 -t nat -A POSTROUTING -j MASQUERADE",
  NETFILTER_XT_TARGET_REDIRECT: "iptables -w 5 -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 1",
};
/** Exit code of a shell for a program that is not there. */
const NO_PROGRAM = 127;

interface TryOptions {
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Finds out by looking and trying which options the kernel must have been built with; what cannot be tried is left out. */
export async function tryFeatures(options: TryOptions): Promise<Record<string, boolean>> {
  const places = Object.entries(PLACES).map(async ([option, path]) => [option, await isThere(path)] as const);
  return {
    ...Object.fromEntries(await Promise.all(places)),
    ...parseControllers(
      await readFile("/proc/cgroups", "utf8").catch(() => ""),
      await readText("/sys/fs/cgroup/cgroup.controllers"),
    ),
    ...(await overlay()),
    ...(await runTrials(options)),
  };
}

/**
 * Options by the rows of /proc/cgroups and, where version 2 is mounted, the text of its cgroup.controllers. Newer kernels
 * leave out of the table what version 1 does not serve: with version 2 a row that is not there says nothing.
 */
export function parseControllers(table: string, version2: string | undefined): Record<string, boolean> {
  const rows = table.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const names = new Set(rows.map((line) => line.split("\t")[0]));
  const names2 = new Set((version2 ?? "").split(/\s+/).map((name) => VERSION_1_NAMES[name] ?? name));
  if (names2.has("cpu")) names2.add("cpuacct");
  const isKnown = version2 === undefined && rows.length > 0;
  return Object.fromEntries(
    Object.entries(CONTROLLERS).flatMap(([option, name]) => {
      const isListed = names.has(name) || names2.has(name);
      return isListed || isKnown ? [[option, isListed] as const] : [];
    }),
  );
}

async function overlay(): Promise<Record<string, boolean>> {
  const list = await readFile("/proc/filesystems", "utf8").catch(() => undefined);
  // What is not loaded yet is not listed: its absence says nothing.
  return list?.includes("\toverlay\n") === true ? { OVERLAY_FS: true } : {};
}

async function runTrials({ path, signal }: TryOptions): Promise<Record<string, boolean>> {
  const lines = Object.entries(TRIALS).map(([option, command]) => `${command} >/dev/null 2>&1; echo "${option} $?"`);
  const command = ["unshare", "--net", "sh", "-c", lines.join("\n")] as const;
  return parseTrials(await runProgram([...command], { path, signal }).catch(() => ""));
}

/** Options by the exit codes that the trials have printed. */
export function parseTrials(output: string): Record<string, boolean> {
  const rows = [...output.matchAll(/^(\w+) (\d+)$/gm)];
  return Object.fromEntries(
    rows.flatMap(([, option = "", code]) => (Number(code) === NO_PROGRAM ? [] : [[option, code === "0"] as const])),
  );
}
