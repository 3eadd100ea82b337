/** What this machine allows, each found out by trying. */
export interface MachineFacts {
  readonly kernel: { readonly major: number; readonly minor: number };
  readonly cgroups: CgroupFacts;
  /** True inside a user namespace that maps less than every id. */
  readonly userNamespace: boolean;
  /** May we give a container the score -998 that runc gives a sandbox? */
  readonly canLowerOomScore: boolean;
  readonly swapOn: boolean;
  readonly iptables: IptablesFacts;
  /** Did an overlay mount succeed below the data folder? */
  readonly overlayfs: boolean;
  /** Settings of the kernel that the kubelet writes, by sysctl path, which are wrong and refuse to be written. */
  readonly refusedKubeletSysctls: readonly string[];
  /** Is /dev/kmsg there? The kubelet's watcher of killed processes reads it. */
  readonly kernelLog: boolean;
}

export interface CgroupFacts {
  /** `hybrid` has its controllers in version 1 and an empty version 2 tree beside them. */
  readonly version: "v1" | "hybrid" | "v2";
  readonly controllers: readonly string[];
  /** Path of our own cgroup: of the systemd or unified hierarchy. */
  readonly own: string;
  /** The same for process 1; anything but `/` or `/init.scope` means that we run in a container. */
  readonly init: string;
}

export interface IptablesFacts {
  readonly backend: "nft" | "legacy" | "missing";
  readonly version: string;
}
