/** How a component folder is made from one suite of Debian. */
export interface DebianRecipe {
  /** Counted up when the way to make the folder changes, so that cached ones are made again. */
  readonly revision: number;
  readonly kubernetes: {
    /** Counted up when the way to compile it changes. */
    readonly revision: number;
    /** Upstream version inside the source package, whose own version starts otherwise. */
    readonly version: string;
    readonly gitCommit: string;
    readonly buildDate: string;
  };
  /** Go compiler and its library; `root` is where the packages put it. */
  readonly go: { readonly packages: readonly string[]; readonly root: string };
  readonly packages: readonly string[];
  /** Libraries of the host tools, which a small host may lack. */
  readonly libraryPackages: readonly string[];
  /** Whose statements of licences hold for what is compiled here: Kubernetes with the libraries in its source, and the C library. */
  readonly licensePackages: readonly string[];
  /** Packaged program to its place below `bin`; a folder takes everything in it. */
  readonly programs: Readonly<Record<string, string>>;
  /** Host tools by name, each with the packaged file that serves it. */
  readonly tools: Readonly<Record<string, string>>;
}

/** Every name under which one of the two iptables programs answers; without a variant it is the nftables one. */
function iptablesNames(): Record<string, string> {
  const names: Record<string, string> = {};
  for (const family of ["iptables", "ip6tables"]) {
    for (const action of ["", "-save", "-restore"]) {
      names[`${family}${action}`] = "usr/sbin/xtables-nft-multi";
      names[`${family}-nft${action}`] = "usr/sbin/xtables-nft-multi";
      names[`${family}-legacy${action}`] = "usr/sbin/xtables-legacy-multi";
    }
  }
  return names;
}

const BOOKWORM: DebianRecipe = {
  revision: 4,
  kubernetes: {
    revision: 2,
    version: "1.20.2",
    gitCommit: "faecb196815e248d3ecfb03c680a4507229c2a56",
    buildDate: "2021-01-13T13:28:09Z",
  },
  go: { packages: ["golang-1.19-go", "golang-1.19-src"], root: "usr/lib/go-1.19" },
  packages: [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "etcd-server",
    "etcd-client",
    "busybox-static",
    "iptables",
    "ipset",
    "conntrack",
    "socat",
    "ethtool",
  ],
  libraryPackages: [
    "libcom-err2",
    "libgssapi-krb5-2",
    "libip4tc2",
    "libip6tc2",
    "libipset13",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libnsl2",
    "libssl3",
    "libtirpc3",
    "libwrap0",
    "libxtables12",
  ],
  licensePackages: ["kubernetes-client", "libc6"],
  programs: {
    "usr/bin/containerd": "containerd",
    "usr/bin/containerd-shim-runc-v2": "containerd-shim-runc-v2",
    "usr/bin/ctr": "ctr",
    // Needs libseccomp2, which apt itself depends on: every Debian has it.
    "usr/sbin/runc": "runc",
    "usr/bin/etcd": "etcd",
    "usr/bin/etcdctl": "etcdctl",
    "usr/lib/cni": "cni",
    "bin/busybox": "aux/busybox",
  },
  tools: {
    ...iptablesNames(),
    ipset: "usr/sbin/ipset",
    conntrack: "usr/sbin/conntrack",
    socat: "usr/bin/socat",
    ethtool: "sbin/ethtool",
  },
};

const RECIPES: Readonly<Record<string, DebianRecipe>> = { bookworm: BOOKWORM };

/** The recipe of a suite, or undefined. Later suites carry only kubectl's part of the source. */
export function findRecipe(codename: string): DebianRecipe | undefined {
  return RECIPES[codename];
}
