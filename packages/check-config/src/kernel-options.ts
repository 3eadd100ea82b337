import type { Severity } from "./check.ts";

/** An option of the kernel, or several of which one is enough. */
export interface KernelOption {
  /** Without the prefix CONFIG_. */
  readonly names: readonly [string, ...string[]];
  readonly severity: Severity;
  /** What it is for. */
  readonly purpose: string;
  /** The modules of `names`, where they can be modules; in the same order. */
  readonly modules?: readonly string[];
  /** Only this version of cgroups uses it. */
  readonly cgroups?: "v1" | "v2";
}

const ISOLATION = "isolation of containers";
const LIMITS = "limits of pods";
const POD_NETWORK = "the pod network";
const SERVICES = "the rules of services";
const IPVS = "kube-proxy in the mode ipvs";
const IPSEC = "flannel over IPsec";

/** Every option that is looked at; the same as k3s and Docker ask for, with what has replaced them in newer kernels. */
export const KERNEL_OPTIONS: readonly KernelOption[] = [
  ...all("required", ISOLATION, ["NAMESPACES", "NET_NS", "PID_NS", "IPC_NS", "UTS_NS", "POSIX_MQUEUE", "KEYS"]),
  ...all("required", LIMITS, ["CGROUPS", "CGROUP_SCHED", "CGROUP_CPUACCT", "CPUSETS", "MEMCG", "CGROUP_PIDS"]),
  { names: ["CGROUP_FREEZER"], severity: "required", purpose: LIMITS, cgroups: "v1" },
  { names: ["CGROUP_DEVICE"], severity: "required", purpose: "access of containers to devices", cgroups: "v1" },
  { names: ["CGROUP_BPF"], severity: "required", purpose: "access of containers to devices", cgroups: "v2" },
  moduleOption("VETH", "veth", POD_NETWORK),
  moduleOption("BRIDGE", "bridge", POD_NETWORK),
  moduleOption("BRIDGE_NETFILTER", "br_netfilter", "services reached from pods of the same node"),
  moduleOption("NF_CONNTRACK", "nf_conntrack", SERVICES),
  moduleOption("NF_NAT", "nf_nat", SERVICES),
  either(["IP_NF_FILTER", "NFT_COMPAT"], ["iptable_filter", "nft_compat"]),
  either(["IP_NF_NAT", "NFT_NAT"], ["iptable_nat", "nft_nat"]),
  either(["IP_NF_TARGET_MASQUERADE", "NETFILTER_XT_TARGET_MASQUERADE"], ["ipt_MASQUERADE", "xt_MASQUERADE"]),
  moduleOption("NETFILTER_XT_MATCH_ADDRTYPE", "xt_addrtype", SERVICES),
  moduleOption("NETFILTER_XT_MATCH_CONNTRACK", "xt_conntrack", SERVICES),
  moduleOption("NETFILTER_XT_MATCH_COMMENT", "xt_comment", SERVICES),
  moduleOption("NETFILTER_XT_MATCH_STATISTIC", "xt_statistic", "services with several pods"),
  moduleOption("NETFILTER_XT_MARK", "xt_mark", SERVICES),
  moduleOption("NETFILTER_XT_MATCH_MULTIPORT", "xt_multiport", "network policy"),
  { ...moduleOption("VXLAN", "vxlan", "pods on other nodes (flannel backend vxlan)"), severity: "recommended" },
  {
    ...moduleOption("OVERLAY_FS", "overlay", "containers that share the layers of their image"),
    severity: "recommended",
  },
  ...all("recommended", "limits of CPU", ["FAIR_GROUP_SCHED", "CFS_BANDWIDTH"]),
  ...all("recommended", "profiles of system calls", ["SECCOMP", "SECCOMP_FILTER"]),
  ...all("optional", "rootless nodes, and pods with users of their own", ["USER_NS"]),
  ...all("optional", "limits of disk and network traffic", ["BLK_CGROUP", "BLK_DEV_THROTTLING"]),
  ...all("optional", "limits of huge pages and counters", ["CGROUP_HUGETLB", "CGROUP_PERF"]),
  { names: ["NET_CLS_CGROUP"], severity: "optional", purpose: "limits of network traffic", cgroups: "v1" },
  { names: ["CGROUP_NET_PRIO"], severity: "optional", purpose: "limits of network traffic", cgroups: "v1" },
  optionalModule("NETFILTER_XT_TARGET_REDIRECT", "xt_REDIRECT", "service meshes"),
  optionalModule("IP_SET", "ip_set", "network policy"),
  optionalModule("IP_VS", "ip_vs", IPVS),
  optionalModule("IP_VS_RR", "ip_vs_rr", IPVS),
  optionalModule("NETFILTER_XT_MATCH_IPVS", "xt_ipvs", IPVS),
  ...all("optional", IPVS, ["IP_VS_NFCT", "IP_VS_PROTO_TCP", "IP_VS_PROTO_UDP"]),
  optionalModule("DUMMY", "dummy", IPVS),
  optionalModule("WIREGUARD", "wireguard", "flannel backend wireguard-native"),
  optionalModule("INET_ESP", "esp4", IPSEC),
  optionalModule("XFRM_USER", "xfrm_user", IPSEC),
  ...all("optional", "access rules of files in images, on ext4", ["EXT4_FS_POSIX_ACL", "EXT4_FS_SECURITY"]),
];

function all(severity: Severity, purpose: string, names: readonly string[]): KernelOption[] {
  return names.map((name) => ({ names: [name], severity, purpose }));
}

function moduleOption(name: string, module: string, purpose: string): KernelOption {
  return { names: [name], severity: "required", purpose, modules: [module] };
}

function optionalModule(name: string, module: string, purpose: string): KernelOption {
  return { ...moduleOption(name, module, purpose), severity: "optional" };
}

function either(names: readonly [string, string], modules: readonly [string, string]): KernelOption {
  return { names, severity: "required", purpose: SERVICES, modules };
}
