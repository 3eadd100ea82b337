import type { Architecture } from "./architecture.ts";
import { KUBERNETES_PROGRAMS } from "./component-set.ts";
import { ComponentError } from "./errors.ts";
import { parseVersion } from "./version.ts";

/** The programs of one release of Kubernetes, each with the version that goes with it. */
export interface Release {
  readonly kubernetes: string;
  readonly containerd: string;
  readonly runc: string;
  readonly cni: string;
  readonly etcd: string;
  readonly crictl: string;
}

/** Where a member of a downloaded archive (or the download itself) goes in a component folder. */
export interface Placement {
  /** Path inside the archive; undefined: the download is the program. A path ending in `/` takes every executable below it. */
  readonly member?: string;
  readonly path: string;
}

/** One file on a publisher's release server. */
export interface UpstreamFile {
  readonly program: string;
  readonly version: string;
  readonly url: string;
  /** The publisher's list with this file's SHA-256. */
  readonly checksumUrl: string;
  readonly placements: readonly Placement[];
}

// containerd 1.7 is the last to serve CRI v1alpha2, which the kubelet speaks up to 1.22 (and accepts up to 1.25).
const RUNTIME_1 = { containerd: "1.7.29", runc: "1.3.3", cni: "1.8.0" };
const RUNTIME_2 = { containerd: "2.2.0", runc: "1.3.3", cni: "1.8.0" };
const ETCD_34 = "3.4.37";
const ETCD_35 = "3.5.24";
const ETCD_36 = "3.6.6";

/** Newest patch version known of each minor version, and what runs with it. */
const RELEASES: Readonly<Record<string, Release>> = {
  "1.20": { kubernetes: "1.20.15", ...RUNTIME_1, etcd: ETCD_34, crictl: "1.20.0" },
  "1.21": { kubernetes: "1.21.14", ...RUNTIME_1, etcd: ETCD_34, crictl: "1.21.0" },
  "1.22": { kubernetes: "1.22.17", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.22.1" },
  "1.23": { kubernetes: "1.23.17", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.23.0" },
  "1.24": { kubernetes: "1.24.17", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.24.2" },
  "1.25": { kubernetes: "1.25.16", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.25.0" },
  "1.26": { kubernetes: "1.26.15", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.26.1" },
  "1.27": { kubernetes: "1.27.16", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.27.1" },
  "1.28": { kubernetes: "1.28.15", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.28.0" },
  "1.29": { kubernetes: "1.29.15", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.29.0" },
  "1.30": { kubernetes: "1.30.14", ...RUNTIME_1, etcd: ETCD_35, crictl: "1.30.1" },
  "1.31": { kubernetes: "1.31.14", ...RUNTIME_2, etcd: ETCD_35, crictl: "1.31.1" },
  "1.32": { kubernetes: "1.32.10", ...RUNTIME_2, etcd: ETCD_35, crictl: "1.32.0" },
  "1.33": { kubernetes: "1.33.10", ...RUNTIME_2, etcd: ETCD_35, crictl: "1.33.0" },
  "1.34": { kubernetes: "1.34.8", ...RUNTIME_2, etcd: ETCD_36, crictl: "1.34.0" },
  "1.35": { kubernetes: "1.35.9", ...RUNTIME_2, etcd: ETCD_36, crictl: "1.35.0" },
  "1.36": { kubernetes: "1.36.3", ...RUNTIME_2, etcd: ETCD_36, crictl: "1.35.0" },
};

/** Newest release of the table, in the spelling of `--kubernetes`. */
export const NEWEST_MINOR = "1.36";

/** `1.30` means its newest known patch version, `1.30.2` exactly that one. Throws ERR_COMPONENT_RELEASE outside of the table. */
export function findRelease(text: string): Release {
  const version = parseVersion(text);
  const release = version === undefined ? undefined : RELEASES[`${version.major}.${version.minor}`];
  if (version === undefined || release === undefined)
    throw ComponentError.unknownRelease(text, `1.20 to ${NEWEST_MINOR}`);
  return /^v?\d+\.\d+$/.test(text) ? release : { ...release, kubernetes: version.text };
}

/** Every file that a release consists of, by the layouts of the publishers' servers. */
export function upstreamFiles(release: Release, architecture: Architecture): readonly UpstreamFile[] {
  return [
    ...KUBERNETES_PROGRAMS.map((program) => kubernetesFile(program, release.kubernetes, architecture)),
    containerdFile(release.containerd, architecture),
    runcFile(release.runc, architecture),
    cniFile(release.cni, architecture),
    etcdFile(release.etcd, architecture),
    crictlFile(release.crictl, architecture),
  ];
}

function kubernetesFile(program: string, version: string, architecture: Architecture): UpstreamFile {
  const url = `https://dl.k8s.io/release/v${version}/bin/linux/${architecture}/${program}`;
  return { program, version, url, checksumUrl: `${url}.sha256`, placements: [{ path: `bin/${program}` }] };
}

function githubRelease(repository: string, version: string): string {
  return `https://github.com/${repository}/releases/download/v${version}`;
}

function containerdFile(version: string, architecture: Architecture): UpstreamFile {
  const url = `${githubRelease("containerd/containerd", version)}/containerd-static-${version}-linux-${architecture}.tar.gz`;
  const programs = ["containerd", "containerd-shim-runc-v2", "ctr"];
  const placements = programs.map((name) => ({ member: `bin/${name}`, path: `bin/${name}` }));
  return { program: "containerd", version, url, checksumUrl: `${url}.sha256sum`, placements };
}

function runcFile(version: string, architecture: Architecture): UpstreamFile {
  const folder = githubRelease("opencontainers/runc", version);
  const url = `${folder}/runc.${architecture}`;
  return { program: "runc", version, url, checksumUrl: `${folder}/runc.sha256sum`, placements: [{ path: "bin/runc" }] };
}

function cniFile(version: string, architecture: Architecture): UpstreamFile {
  const url = `${githubRelease("containernetworking/plugins", version)}/cni-plugins-linux-${architecture}-v${version}.tgz`;
  const placements = [{ member: "./", path: "bin/cni" }];
  return { program: "cni", version, url, checksumUrl: `${url}.sha256`, placements };
}

function etcdFile(version: string, architecture: Architecture): UpstreamFile {
  const folder = githubRelease("etcd-io/etcd", version);
  const name = `etcd-v${version}-linux-${architecture}`;
  const placements = ["etcd", "etcdctl"].map((program) => ({ member: `${name}/${program}`, path: `bin/${program}` }));
  const url = `${folder}/${name}.tar.gz`;
  return { program: "etcd", version, url, checksumUrl: `${folder}/SHA256SUMS`, placements };
}

function crictlFile(version: string, architecture: Architecture): UpstreamFile {
  const url = `${githubRelease("kubernetes-sigs/cri-tools", version)}/crictl-v${version}-linux-${architecture}.tar.gz`;
  const placements = [{ member: "crictl", path: "bin/crictl" }];
  return { program: "crictl", version, url, checksumUrl: `${url}.sha256`, placements };
}
