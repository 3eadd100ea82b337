import { ClusterConfigError } from "./errors.ts";
import { cidrOf, isRecord, portRangeOf } from "./go-network.ts";

/** What an agent takes from a server's document. Ranges are `address/length`, ports `first-last`. */
export interface ClusterConfig {
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly serviceNodePortRange: string;
  readonly flannelBackend: string;
  readonly flannelExternalIp: boolean;
  readonly egressSelectorMode: string;
  /** Whether nodes show their metrics on the supervisor's port. */
  readonly supervisorMetrics: boolean;
  readonly disableCloudController: boolean;
  readonly disableNetworkPolicy: boolean;
  readonly disableKubeProxy: boolean;
  readonly disableServiceLb: boolean;
  readonly httpsPort: number;
  readonly supervisorPort: number;
  /** The document as it came, for a comparison of critical fields. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Servers that are too old leave these out; without them network policies cannot be enforced (k3s's own rule). */
const MINIMUM_VERSION = "v1.22";

/** Reads a server's document. Throws ClusterConfigError when it is none, or lacks what no node can do without. */
export function parseClusterConfig(text: string): ClusterConfig {
  const fields = parseFields(text);
  const disableNetworkPolicy = flag(fields, "DisableNPC");
  const config = {
    clusterCidrs: networks(fields, "ClusterIPRange"),
    serviceCidrs: networks(fields, "ServiceIPRange"),
    clusterDns: texts(fields, "ClusterDNS"),
    clusterDomain: text1(fields, "ClusterDomain"),
    serviceNodePortRange: portRangeOf(fields["ServiceNodePortRange"]) ?? "",
    flannelBackend: text1(fields, "FlannelBackend"),
    flannelExternalIp: flag(fields, "FlannelExternalIP"),
    egressSelectorMode: text1(fields, "EgressSelectorMode"),
    supervisorMetrics: flag(fields, "SupervisorMetrics"),
    disableCloudController: flag(fields, "DisableCCM"),
    disableNetworkPolicy,
    disableKubeProxy: flag(fields, "DisableKubeProxy"),
    disableServiceLb: flag(fields, "DisableServiceLB"),
    httpsPort: port(fields, "HTTPSPort"),
    supervisorPort: port(fields, "SupervisorPort"),
    fields,
  };
  const isDownLevel = config.serviceCidrs.length === 0 || config.serviceNodePortRange === "";
  if (isDownLevel && !disableNetworkPolicy) throw ClusterConfigError.downLevel(MINIMUM_VERSION);
  if (config.clusterCidrs.length === 0) throw ClusterConfigError.incomplete("ClusterIPRange");
  return config;
}

type Fields = Readonly<Record<string, unknown>>;

function parseFields(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw ClusterConfigError.unreadable(error);
  }
  if (!isRecord(value)) throw ClusterConfigError.unreadable(new TypeError("it is not an object"));
  return value;
}

/** The list `<name>s`, which old servers do not have, else the one value. */
function networks(fields: Fields, name: string): readonly string[] {
  const list = fields[`${name}s`];
  const values: readonly unknown[] = Array.isArray(list) && list.length > 0 ? list : [fields[name]];
  return values.flatMap((value) => cidrOf(value) ?? []);
}

function texts(fields: Fields, name: string): readonly string[] {
  const list = fields[`${name}s`];
  const values: readonly unknown[] = Array.isArray(list) && list.length > 0 ? list : [fields[name]];
  return values.filter((value): value is string => typeof value === "string" && value !== "");
}

function text1(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : "";
}

function flag(fields: Fields, name: string): boolean {
  return fields[name] === true;
}

function port(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > 65_535) {
    throw ClusterConfigError.incomplete(name);
  }
  return value;
}
