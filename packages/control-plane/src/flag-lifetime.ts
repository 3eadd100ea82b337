import { ControlPlaneError } from "./errors.ts";
import type { FlagDefaults } from "./merge-args.ts";

/** The minor releases of Kubernetes 1.x whose published flags our tables were checked against. */
export const KNOWN_MINORS = { oldest: 20, newest: 36 } as const;

/** When a flag or field exists. Both ends are minor releases of Kubernetes 1.x. */
interface Lifetime {
  /** First release that has it; absent: all we know. */
  readonly since?: number;
  /** First release that has it no more; absent: none yet. */
  readonly until?: number;
}

/** Names that do not exist in every release; a name without an entry does. */
export type Lifetimes = Readonly<Record<string, Lifetime>>;

/** The x of "v1.x.y". Throws ControlPlaneError for anything else and for releases before the oldest known one. */
export function kubernetesMinor(version: string): number {
  const match = /^v?1\.(\d+)(?:[.+-]|$)/.exec(version);
  if (match?.[1] === undefined) throw ControlPlaneError.unknownVersion(version);
  const minor = Number(match[1]);
  if (minor < KNOWN_MINORS.oldest) throw ControlPlaneError.unsupportedVersion(version, `v1.${KNOWN_MINORS.oldest}`);
  return minor;
}

/** Whether something with this lifetime exists in release 1.`minor`. */
export function existsIn(minor: number, lifetime: Lifetime | undefined): boolean {
  if (lifetime === undefined) return true;
  return minor >= (lifetime.since ?? 0) && minor < (lifetime.until ?? Number.POSITIVE_INFINITY);
}

/** The defaults without the flags that release 1.`minor` does not have. */
export function selectFlags(defaults: FlagDefaults, lifetimes: Lifetimes, minor: number): FlagDefaults {
  return Object.fromEntries(Object.entries(defaults).filter(([name]) => existsIn(minor, lifetimes[name])));
}
