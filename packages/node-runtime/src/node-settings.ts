import { NodeRuntimeError } from "./errors.ts";
import type { CgroupFacts, MachineFacts } from "./machine-facts.ts";

/** What follows from the machine for the configuration of containerd and kubelet. */
export interface NodeSettings {
  readonly cgroupDriver: "systemd" | "cgroupfs";
  readonly snapshotter: string;
  /** containerd raises scores that it may not lower, instead of failing to start the pod. */
  readonly restrictOomScoreAdj: boolean;
  /** False where the cpu controller is missing: limits are then not enforced. */
  readonly cpuCfsQuota: boolean;
  /** Root of the kubelet's and the runtime's own cgroups, where systemd would not count them right. */
  readonly kubeletCgroups: string | undefined;
  readonly runtimeCgroups: string | undefined;
  /** Kubernetes 1.35 refuses cgroup v1 unless told otherwise. */
  readonly cgroupV1: boolean;
  readonly userNamespace: boolean;
  /** Ports below 1024 and ping without privileges in pods: needs kernel 4.11. */
  readonly unprivilegedPorts: boolean;
}

/** Something the machine lacks: what it means, and what would help. */
export interface MachineWarning {
  readonly found: string;
  readonly effect: string;
  readonly cure: string;
}

/** What the user or the service manager has settled before the machine is looked at. */
export interface ChosenByUser {
  readonly snapshotter: string | undefined;
  /** True when the service manager's INVOCATION_ID was in the environment. */
  readonly underSystemd: boolean;
}

/** Turns facts into settings. Throws NodeRuntimeError when no pod could ever run. */
export function chooseSettings(facts: MachineFacts, user: ChosenByUser): NodeSettings {
  assertControllers(facts.cgroups);
  const { cgroups, kernel } = facts;
  return {
    cgroupDriver: canUseSystemdDriver(facts, user) ? "systemd" : "cgroupfs",
    snapshotter: user.snapshotter ?? (facts.overlayfs ? "overlayfs" : "native"),
    restrictOomScoreAdj: facts.userNamespace || !facts.canLowerOomScore,
    cpuCfsQuota: cgroups.controllers.includes("cpu"),
    ...ownCgroups(cgroups),
    cgroupV1: cgroups.version !== "v2",
    userNamespace: facts.userNamespace,
    unprivilegedPorts: kernel.major > 4 || (kernel.major === 4 && kernel.minor >= 11),
  };
}

/** Something that a machine may lack, and a node goes on without. */
export interface MachineRule {
  /** Stable: it appears in reports. */
  readonly id: string;
  readonly isMissing: (facts: MachineFacts, user: ChosenByUser) => boolean;
  readonly found: (facts: MachineFacts) => string;
  readonly effect: string;
  readonly cure: string;
}

/** What is looked at before a node starts and when a machine is examined, worst first. */
export const MACHINE_RULES: readonly MachineRule[] = [
  {
    id: "iptables",
    isMissing: ({ iptables }) => iptables.backend === "missing",
    found: () => "The program iptables is not installed",
    effect: "Services and pod networking do not work",
    cure: "Install the package iptables",
  },
  {
    id: "kubelet-sysctls",
    isMissing: ({ refusedKubeletSysctls }) => refusedKubeletSysctls.length > 0,
    found: ({ refusedKubeletSysctls }) => `The kernel refuses to change ${refusedKubeletSysctls.join(", ")}`,
    effect: "The kubelet cannot start its container manager",
    cure: "Set these values on the host, or pass --kubelet-arg=feature-gates=KubeletInUserNamespace=true (Kubernetes 1.22 or newer)",
  },
  {
    id: "kernel-log",
    isMissing: ({ kernelLog }) => !kernelLog,
    found: () => "There is no /dev/kmsg",
    effect: "The kubelet cannot watch for processes killed for lack of memory and ends",
    cure: "Give the container that runs this node the device /dev/kmsg",
  },
  {
    id: "overlayfs",
    isMissing: ({ overlayfs }, { snapshotter }) => !overlayfs && snapshotter === undefined,
    found: () => "An overlay mount in the data folder failed",
    effect: "Every container gets a full copy of its image (snapshotter native): slow, and much disk",
    cure: "Put the data folder on ext4 or xfs, on btrfs or zfs with the --snapshotter of that name, or accept the copies with --snapshotter=native",
  },
  {
    id: "oom-score",
    isMissing: ({ canLowerOomScore }) => !canLowerOomScore,
    found: () => "The score for killing processes cannot be lowered (no CAP_SYS_RESOURCE)",
    effect: "When memory runs out system pods are not preferred to others",
    cure: "Grant CAP_SYS_RESOURCE to the container that runs this node",
  },
  {
    id: "cpu-controller",
    isMissing: ({ cgroups }) => !cgroups.controllers.includes("cpu"),
    found: () => "cgroups have no cpu controller",
    effect: "CPU limits of pods are not enforced",
    cure: "Enable the cpu controller",
  },
  {
    id: "swap",
    isMissing: ({ swapOn }) => swapOn,
    found: () => "Swap is on",
    effect: "Pods may be swapped out; memory limits count without swap",
    cure: "Turn swap off (swapoff -a) unless that is wanted",
  },
];

/** Everything the operator should know about this machine, worst first. */
export function machineWarnings(facts: MachineFacts, user: ChosenByUser): MachineWarning[] {
  return MACHINE_RULES.filter(({ isMissing }) => isMissing(facts, user)).map(({ found, effect, cure }) => ({
    found: found(facts),
    effect,
    cure,
  }));
}

/** Controllers without which no pod runs and which the machine does not offer. */
export function missingControllers({ version, controllers }: Pick<CgroupFacts, "version" | "controllers">): string[] {
  const needed = version === "v2" ? ["cpu", "cpuset", "memory", "pids"] : ["memory", "pids"];
  return needed.filter((name) => !controllers.includes(name));
}

function assertControllers(cgroups: CgroupFacts): void {
  const missing = missingControllers(cgroups);
  if (missing.length > 0)
    throw NodeRuntimeError.cgroupControllersMissing(missing, cgroups.version === "v2" ? "v2" : "v1");
}

function canUseSystemdDriver(facts: MachineFacts, user: ChosenByUser): boolean {
  return user.underSystemd && facts.cgroups.controllers.includes("cpuset") && !facts.userNamespace;
}

function ownCgroups({ own, init }: CgroupFacts): Pick<NodeSettings, "kubeletCgroups" | "runtimeCgroups"> {
  const inScope = own.endsWith(".scope") && !isInitCgroup(own);
  const inContainer = !isInitCgroup(init);
  return {
    kubeletCgroups: inScope || inContainer ? "/k3s" : undefined,
    runtimeCgroups: inContainer ? "/k3s" : undefined,
  };
}

function isInitCgroup(path: string): boolean {
  return path === "/" || path === "/init.scope";
}
