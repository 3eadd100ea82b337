import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { CGROUP_ROOT, inspectCgroups } from "./inspect-cgroups.ts";
import { loadModules } from "./kernel-modules.ts";
import { leaveRootCgroup } from "./leave-root-cgroup.ts";

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

/** kube-proxy's defaults: it is told to leave these alone, so that a refusal is a warning and not its end. */
const CONNTRACK_PER_CPU = 32_768;
const CONNTRACK_MIN = 131_072;

/** Loads modules and sets sysctls for pod networking; as process 1 of a container makes room for the cgroups of pods. A refusal is one warning each kind, never an error. */
export async function setUpKernel(options: KernelSetupOptions): Promise<void> {
  if (process.pid === 1 && (await inspectCgroups()).version === "v2") await leaveRootCgroupLogged(options.log);
  const missing = await loadModules(options);
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

/** A setting of the kernel as the node wants it and as it is. */
export interface SysctlFacts {
  /** Path below /proc/sys. */
  readonly name: string;
  readonly wanted: string;
  /** Undefined: the kernel, or what is loaded of it, has no such setting. */
  readonly current: string | undefined;
  /** May it be written? Tried with the value that it has. */
  readonly isWritable: boolean;
}

/** How the settings of {@link wantedSysctls} are; changes none. */
export async function inspectSysctls(wanted: Readonly<Record<string, string>>): Promise<SysctlFacts[]> {
  return await Promise.all(
    Object.entries(wanted).map(async ([name, value]) => {
      const file = join("/proc/sys", name);
      const current = await readFile(file, "utf8").then(
        (text) => text.trim(),
        () => undefined,
      );
      const isWritable =
        current !== undefined &&
        (await writeFile(file, current).then(
          () => true,
          () => false,
        ));
      return { name, wanted: value, current, isWritable };
    }),
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
