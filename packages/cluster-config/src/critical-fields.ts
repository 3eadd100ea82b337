import { isDeepStrictEqual } from "node:util";
import { cidrOf, isRecord } from "./go-network.ts";

/** The fields that every server of a cluster must agree on, and the flags that set them (k3s). */
const CRITICAL_FIELDS: Readonly<Record<string, string>> = {
  ClusterDNSs: "cluster-dns",
  ClusterDNS: "cluster-dns",
  ClusterIPRanges: "cluster-cidr",
  ClusterIPRange: "cluster-cidr",
  ClusterDomain: "cluster-domain",
  DisableCCM: "disable-cloud-controller",
  DisableHelmController: "disable-helm-controller",
  DisableNPC: "disable-network-policy",
  DisableServiceLB: "disable-service-lb",
  EncryptSecrets: "secrets-encryption",
  EncryptProvider: "secrets-encryption-provider",
  EmbeddedRegistry: "embedded-registry",
  FlannelBackend: "flannel-backend",
  FlannelIPv6Masq: "flannel-ipv6-masq",
  FlannelExternalIP: "flannel-external-ip",
  EgressSelectorMode: "egress-selector-mode",
  ServiceIPRange: "service-cidr",
  ServiceIPRanges: "service-cidr",
  SupervisorMetrics: "supervisor-metrics",
};

/** An older server leaves these empty: that says nothing. */
const MAY_BE_EMPTY = new Set(["EgressSelectorMode", "EncryptProvider"]);

/** A setting in which two servers of one cluster differ. */
export interface Difference {
  /** Without dashes. */
  readonly flag: string;
  readonly own: string;
  readonly other: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** Every critical setting that differs between two documents of `/v1-k3s/config`, each flag once, values as a user writes them. */
export function differences(own: Fields, other: Fields): readonly Difference[] {
  const found = new Map<string, Difference>();
  for (const [field, flag] of Object.entries(CRITICAL_FIELDS)) {
    // A peer that does not know a list yet sends the single value, which is compared on its own.
    if (other[field] === undefined || found.has(flag) || isDeepStrictEqual(own[field], other[field])) continue;
    if (MAY_BE_EMPTY.has(field) && (own[field] === "" || other[field] === "")) continue;
    found.set(flag, { flag, own: written(own[field]), other: written(other[field]) });
  }
  return [...found.values()];
}

function written(value: unknown): string {
  if (Array.isArray(value)) return value.map(written).join(",");
  if (isRecord(value)) return cidrOf(value) ?? JSON.stringify(value);
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}
