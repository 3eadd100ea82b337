import { readdir } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { inspectMachine, inspectModules, inspectSysctls, wantedSysctls } from "@k3s/node-runtime";
import type { HostFacts, PortFacts, ProgramFacts, SoftwareFacts, SystemFacts } from "./host-facts.ts";
import { inspectClock } from "./inspect/clock.ts";
import { inspectDisk, nearestFolder } from "./inspect/disk.ts";
import { inspectKernel } from "./inspect/kernel.ts";
import { inspectFirewall, inspectNetwork } from "./inspect/network.ts";
import { findRivals, listProcesses, type RunningProcess } from "./inspect/processes.ts";
import { isThere, readText } from "./inspect/read-file.ts";
import { inspectLimits, inspectSecurity } from "./inspect/security.ts";

/** What cannot be found out by looking at the machine alone. */
export interface InspectOptions {
  readonly dataDir: string;
  /** Search path of programs: as a node would have it. */
  readonly path: string;
  /** A file of kernel options to read in place of those of the running kernel. */
  readonly kernelConfig: string | undefined;
  readonly programs: ProgramFacts;
  /** What is wrong with the settings of the node, in one line. */
  readonly settingsProblem: string | undefined;
  readonly settingsWarnings: readonly string[];
  readonly ports: readonly PortFacts[];
  /** Ranges of pods and services. */
  readonly ranges: readonly string[];
  /** When this program was built or put here. */
  readonly notBeforeMs: number;
  /** The k3s that runs on the same data dir. */
  readonly ownPid: number | undefined;
  /** Whether a process belongs to a k3s on the same data dir. */
  readonly isOurs: (pid: number) => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Finds out everything that checks look at. Changes nothing that stays; takes a second or two. */
export async function inspectHost(options: InspectOptions): Promise<HostFacts> {
  const { dataDir, path, signal, programs, settingsProblem, settingsWarnings, ports } = options;
  const processes = await listProcesses();
  const running = new Set(processes.map(({ name }) => name));
  const bridgeFiltering = await isThere("/proc/sys/net/bridge");
  const wanted = wantedSysctls({ ipv4: true, ipv6: false, bridgeFiltering, conntrack: true }, cpus().length);
  const [machine, kernel, moduleGroups, sysctls] = await Promise.all([
    inspectMachine({ overlayDirectory: await nearestFolder(dataDir), path }),
    inspectKernel({ configFile: options.kernelConfig, path, signal }),
    inspectModules({ path, ipv6: false }),
    inspectSysctls(wanted),
  ]);
  return {
    ...{
      system: await inspectSystem(),
      programs,
      settingsProblem,
      settingsWarnings,
      machine,
      kernel,
      moduleGroups,
      sysctls,
      ports,
    },
    limits: await inspectLimits(),
    network: await inspectNetwork({ running, ranges: options.ranges }),
    firewall: await inspectFirewall({ running, path, signal }),
    disk: await inspectDisk(dataDir),
    clock: await inspectClock({ notBeforeMs: options.notBeforeMs, path, signal }),
    software: await inspectSoftware(options, processes),
    security: await inspectSecurity(path),
  };
}

async function inspectSystem(): Promise<SystemFacts> {
  const osRelease = (await readText("/etc/os-release")) ?? "";
  return {
    uid: process.geteuid?.() ?? 0,
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? "unknown",
    kernelRelease: release(),
    board: ((await readText("/proc/device-tree/model")) ?? "").replaceAll("\0", ""),
    cpus: cpus().length,
    memoryBytes: totalmem(),
  };
}

async function inspectSoftware(
  { dataDir, ownPid, isOurs }: InspectOptions,
  processes: readonly RunningProcess[],
): Promise<SoftwareFacts> {
  const candidates = (await findRivals(processes)).filter(({ pid }) => pid !== ownPid);
  const ours = await Promise.all(candidates.map(({ pid }) => isOurs(pid)));
  const lists = await readdir("/etc/cni/net.d").catch(() => []);
  return {
    ownPid,
    rivals: candidates.filter((_, index) => ours[index] !== true).map(({ name, pid }) => ({ name, pid })),
    cniConfigs: lists.filter((name) => /\.(conf|conflist|json)$/.test(name)).sort(),
    dataDirUsed: await isThere(join(dataDir, "agent")),
  };
}
