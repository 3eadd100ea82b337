/** The version of one program as it names itself. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Without a leading `v`, e.g. `1.20.2` or `1.6.20~ds1`. */
  readonly text: string;
}

/** Versions of a component set; `etcd` and `crictl` only where the set has them. */
export interface ComponentVersions {
  readonly kubernetes: Version;
  readonly containerd: Version;
  readonly runc: Version;
  readonly cni: Version;
  readonly etcd?: Version;
  readonly crictl?: Version;
}

const PATTERN = /^v?(\d+)\.(\d+)(?:\.(\d+))?/;

/** Undefined when `text` does not begin like a version. A missing patch number counts as 0. */
export function parseVersion(text: string): Version | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const [, major, minor, patch] = match;
  return { major: Number(major), minor: Number(minor), patch: Number(patch ?? 0), text: text.replace(/^v/, "") };
}

/** Negative when `a` is the older one; text after the three numbers does not count. */
export function compareVersions(a: Version, b: Version): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}
