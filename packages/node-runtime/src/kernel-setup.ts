import { access, readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { CGROUP_ROOT, inspectCgroups } from "./inspect-cgroups.ts";
import { leaveRootCgroup } from "./leave-root-cgroup.ts";
import { runProgram } from "./run-program.ts";

interface KernelSetupOptions {
  readonly log: Logger;
  /** Search path for modprobe. */
  readonly path: string;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** False when nothing on this node handles service traffic of bridged pods. */
  readonly bridgeFiltering: boolean;
  /** False in a user namespace, where the host's connection tracking is not ours. */
  readonly conntrack: boolean;
}

/** Finds out whether the feature of a module is there, be it as a module or built in. */
type Evidence = (path: string) => Promise<boolean>;

const file =
  (name: string): Evidence =>
  () =>
    exists(name);
/** Listing the tables works with either backend of iptables, and only when the kernel has what that backend needs. */
const tables =
  (program: string): Evidence =>
  async (path) =>
    await Promise.all(
      ["nat", "filter"].map((table) => runProgram([program, "-w", "5", "-t", table, "-S"], { path })),
    ).then(
      () => true,
      () => false,
    );

interface ModuleGroup {
  readonly names: readonly string[];
  readonly evidence: Evidence;
}

/** The modules that k3s loads, in its order. */
const MODULES: readonly ModuleGroup[] = [
  { names: ["overlay"], evidence: async () => (await readFile("/proc/filesystems", "utf8")).includes("\toverlay\n") },
  { names: ["nf_conntrack"], evidence: file("/proc/sys/net/netfilter/nf_conntrack_max") },
  { names: ["br_netfilter"], evidence: file("/proc/sys/net/bridge/bridge-nf-call-iptables") },
  {
    names: ["iptable_nat", "iptable_filter", "nft-expr-counter", "nfnetlink-subsys-11", "nft-chain-2-nat"],
    evidence: tables("iptables"),
  },
];
const MODULES_IPV6: readonly ModuleGroup[] = [
  { names: ["ip6table_nat", "ip6table_filter"], evidence: tables("ip6tables") },
];

/** kube-proxy's defaults: it is told to leave these alone, so that a refusal is a warning and not its end. */
const CONNTRACK_PER_CPU = 32_768;
const CONNTRACK_MIN = 131_072;

/** Loads modules and sets sysctls for pod networking; as process 1 of a container makes room for the cgroups of pods. A refusal is one warning each kind, never an error. */
export async function setUpKernel(options: KernelSetupOptions): Promise<void> {
  if (process.pid === 1 && (await inspectCgroups()).version === "v2") await leaveRootCgroupLogged(options.log);
  const missing = await loadModules([...MODULES, ...(options.ipv6 ? MODULES_IPV6 : [])], options.path);
  if (missing.length > 0) {
    const effect = "services and pod networking do not work";
    const cure = "load them on the host (modprobe) before this node starts";
    options.log.warn({ modules: missing, effect, cure }, "kernel modules could not be loaded");
  }
  const refused = await writeSysctls(wantedSysctls(options, availableParallelism()));
  for (const { name, value, error } of refused)
    options.log.warn({ sysctl: name, value, error, cure: "set it on the host" }, "kernel setting could not be changed");
}

async function leaveRootCgroupLogged(log: Logger): Promise<void> {
  try {
    await leaveRootCgroup(CGROUP_ROOT);
  } catch (error) {
    const effect = "limits of pods cannot be enforced, and the kubelet may not start";
    log.warn({ error, effect, cure: "give the container a writable cgroup tree" }, "root cgroup could not be left");
  }
}

/** Settings and values by path below /proc/sys. */
export function wantedSysctls(
  options: Pick<KernelSetupOptions, "ipv4" | "ipv6" | "bridgeFiltering" | "conntrack">,
  cpus: number,
): Record<string, string> {
  const wanted: Record<string, string> = {};
  if (options.ipv4) {
    wanted["net/ipv4/conf/all/forwarding"] = "1";
    wanted["net/ipv4/conf/default/forwarding"] = "1";
  }
  if (options.ipv6) {
    wanted["net/ipv6/conf/all/forwarding"] = "1";
    wanted["net/ipv6/conf/default/forwarding"] = "1";
    wanted["net/core/devconf_inherit_init_net"] = "1";
  }
  if (options.bridgeFiltering) wanted["net/bridge/bridge-nf-call-iptables"] = "1";
  if (options.bridgeFiltering && options.ipv6) wanted["net/bridge/bridge-nf-call-ip6tables"] = "1";
  if (options.conntrack) {
    wanted["net/netfilter/nf_conntrack_max"] = String(Math.max(CONNTRACK_PER_CPU * cpus, CONNTRACK_MIN));
    wanted["net/netfilter/nf_conntrack_tcp_timeout_established"] = "86400";
    wanted["net/netfilter/nf_conntrack_tcp_timeout_close_wait"] = "3600";
  }
  return wanted;
}

/** The modules that are neither loaded nor built in. */
async function loadModules(groups: readonly ModuleGroup[], path: string): Promise<string[]> {
  const missing: string[] = [];
  for (const { names, evidence } of groups) {
    const refused: string[] = [];
    for (const name of names) if (!(await loadModule(name, path))) refused.push(name);
    if (refused.length > 0 && !(await evidence(path))) missing.push(...refused);
  }
  return missing;
}

async function loadModule(name: string, path: string): Promise<boolean> {
  if (await exists(`/sys/module/${name.replaceAll("-", "_")}`)) return true;
  return await runProgram(["modprobe", name], { path }).then(
    () => true,
    () => false,
  );
}

async function writeSysctls(wanted: Readonly<Record<string, string>>) {
  const refused: { name: string; value: string; error: string }[] = [];
  for (const [name, value] of Object.entries(wanted)) {
    const file = join("/proc/sys", name);
    try {
      if ((await readFile(file, "utf8")).trim() !== value) await writeFile(file, value);
    } catch (error) {
      refused.push({ name: name.replaceAll("/", "."), value, error: describeError(error) });
    }
  }
  return refused;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
