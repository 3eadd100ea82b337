import type { MachineFacts, ModuleGroupFacts, SysctlFacts } from "@k3s/node-runtime";

/** Everything that is found out about a machine before anything is judged. Plain values: a report carries them as JSON. */
export interface HostFacts {
  readonly system: SystemFacts;
  readonly programs: ProgramFacts;
  /** What is wrong with the settings in files and variables; undefined: nothing. */
  readonly settingsProblem: string | undefined;
  /** What a node would warn of in them. */
  readonly settingsWarnings: readonly string[];
  /** What the node itself finds out by trying. */
  readonly machine: MachineFacts;
  readonly kernel: KernelFacts;
  readonly moduleGroups: readonly ModuleGroupFacts[];
  readonly sysctls: readonly SysctlFacts[];
  readonly limits: LimitFacts;
  readonly network: NetworkFacts;
  readonly firewall: FirewallFacts;
  readonly ports: readonly PortFacts[];
  readonly disk: DiskFacts;
  readonly clock: ClockFacts;
  readonly software: SoftwareFacts;
  readonly security: SecurityFacts;
}

export interface SystemFacts {
  readonly uid: number;
  readonly distribution: string;
  /** As `uname -r` prints it. */
  readonly kernelRelease: string;
  /** What the board calls itself; empty on machines that do not say. */
  readonly board: string;
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** The upstream programs of this installation. */
export type ProgramFacts = { readonly versions: string } | { readonly problem: string };

export interface KernelFacts {
  /** The file that the options were read from; undefined: none could be read. */
  readonly configFile: string | undefined;
  /** Options without the prefix CONFIG_, of those that are looked at. */
  readonly options: Readonly<Record<string, "built-in" | "module">>;
  /** State of the kernel's modules, of those that are looked at. */
  readonly modules: Readonly<Record<string, "loaded" | "loadable" | "absent" | "unknown">>;
  /** Features that were tried, by the option that brings them; without a file of options only. */
  readonly tried: Readonly<Record<string, boolean>>;
}

/** Undefined: the kernel does not say. */
export interface LimitFacts {
  readonly inotifyInstances: number | undefined;
  readonly inotifyWatches: number | undefined;
  readonly userNamespaces: number | undefined;
  /** May users without privileges make user namespaces? Distributions limit this beyond the number. */
  readonly userNamespacesRestricted: boolean;
  readonly rootKeys: number | undefined;
}

export interface NetworkFacts {
  readonly hasDefaultRoute: boolean;
  /** Routes other than ours that lead into the ranges of pods and services. */
  readonly overlappingRoutes: readonly { readonly range: string; readonly route: string; readonly via: string }[];
  readonly interfaces: readonly string[];
  readonly networkManager: "absent" | "manages-pods" | "leaves-pods-alone";
  readonly cloudSetup: boolean;
}

export interface FirewallFacts {
  /** Ports (`6443/tcp`) and sources (`10.42.0.0/16`) that it lets in; undefined: it does not run. */
  readonly firewalld: readonly string[] | undefined;
  /** The same of ufw; `Anywhere` for every port or source. */
  readonly ufw: readonly string[] | undefined;
  /** What happens to packets that no rule of iptables decides on; undefined: not known. */
  readonly inputPolicy: string | undefined;
  readonly forwardPolicy: string | undefined;
}

/** A port that the node will listen on. */
export interface PortFacts {
  readonly port: number;
  readonly purpose: string;
  /** Who listens on it; `ours` are the programs of a node that runs, or ran, from the same data dir. */
  readonly takenBy?: { readonly name: string; readonly pid: number | undefined; readonly isOurs: boolean };
}

export interface DiskFacts {
  readonly dataDir: string;
  /** The folder that was looked at: the data dir, or the one that it will be made in. */
  readonly place: string;
  readonly isWritable: boolean;
  readonly filesystem: string;
  readonly mountPoint: string;
  readonly mountOptions: readonly string[];
  readonly freeBytes: number;
  readonly freeFiles: number | undefined;
  /** How long small writes took until they were durable; undefined: not tried. */
  readonly syncMs: { readonly median: number; readonly worst: number } | undefined;
}

export interface ClockFacts {
  readonly nowMs: number;
  /** When this program was built or put here: no clock that is right says less. */
  readonly notBeforeMs: number;
  /** Undefined: nobody here knows. */
  readonly isSynchronized: boolean | undefined;
}

export interface SoftwareFacts {
  /** The process of k3s that runs on the same data dir. */
  readonly ownPid: number | undefined;
  /** Programs that want what a node wants, other than ours. */
  readonly rivals: readonly { readonly name: string; readonly pid: number }[];
  /** Network lists that others have left in /etc/cni/net.d. */
  readonly cniConfigs: readonly string[];
  /** Has a node been on this data dir? */
  readonly dataDirUsed: boolean;
}

export interface SecurityFacts {
  readonly appArmor: boolean;
  readonly appArmorParser: boolean;
  readonly seLinux: "off" | "permissive" | "enforcing";
  readonly containerPolicy: boolean;
}
