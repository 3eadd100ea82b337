import { networkOf } from "./network-of.ts";
import { CODE, PluginError } from "./plugin-error.ts";
import type { SubnetFile } from "./subnet-file.ts";

type Fields = Readonly<Record<string, unknown>>;

/** The plugin's part of a network list. */
export interface PluginConfig {
  readonly name: string;
  readonly cniVersion: string | undefined;
  readonly subnetFile: string;
  /** Where it remembers what it made for each container. */
  readonly dataDir: string;
  readonly delegate: Fields;
  readonly ipam: Fields;
  readonly runtimeConfig: unknown;
}

/** Configuration of the plugin that does the work. */
export type DelegateConfig = Fields & { readonly type: string };

/** Reads what the runtime writes to the plugin. Throws PluginError. */
export function parsePluginConfig(text: string): PluginConfig {
  const fields = parseFields(text);
  const delegate = recordOf(fields, "delegate");
  if ("type" in delegate && typeof delegate["type"] !== "string")
    throw new PluginError(CODE.invalidConfig, "Cannot use delegate: its type is no text");
  if ("name" in delegate)
    throw new PluginError(CODE.invalidConfig, "Cannot use delegate: it has a name, which is the network's to give");
  if ("ipam" in delegate)
    throw new PluginError(CODE.invalidConfig, "Cannot use delegate: it has ipam, which belongs beside it");
  return {
    name: textOf(fields, "name") ?? "",
    cniVersion: textOf(fields, "cniVersion"),
    subnetFile: textOf(fields, "subnetFile") ?? "/run/flannel/subnet.env",
    dataDir: textOf(fields, "dataDir") ?? "/var/lib/cni/flannel",
    delegate,
    ipam: recordOf(fields, "ipam"),
    runtimeConfig: fields["runtimeConfig"] ?? undefined,
  };
}

/**
 * What flannel's plugin hands on: the delegate's own settings, and what the node's file says where they leave it open. The
 * default is a bridge with addresses of the node's range, a route to the cluster's, and no masquerading, which is the agent's.
 */
export function delegateConfig(config: PluginConfig, subnet: SubnetFile): DelegateConfig {
  const { delegate, ipam, cniVersion, runtimeConfig } = config;
  const type = typeof delegate["type"] === "string" ? delegate["type"] : "bridge";
  const routes: readonly unknown[] = Array.isArray(ipam["routes"]) ? ipam["routes"] : [];
  return {
    ipMasq: !subnet.isMasqueraded,
    mtu: subnet.mtu,
    ...(type === "bridge" ? { isGateway: true } : {}),
    ...delegate,
    name: config.name,
    type,
    ...(cniVersion === undefined ? {} : { cniVersion }),
    ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
    ipam: {
      type: "host-local",
      ...ipam,
      // The file has the bridge's addresses; host-local refuses a range with bits behind its length.
      ranges: subnet.subnets.map((range) => [{ subnet: networkOf(range) }]),
      routes: [...routes, ...subnet.networks.map((dst) => ({ dst }))],
    },
  };
}

function parseFields(text: string): Fields {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // Said below, as for JSON of another shape.
  }
  throw new PluginError(CODE.undecodable, "Cannot read network configuration: it is no JSON object");
}

function recordOf(fields: Fields, name: string): Fields {
  const value = fields[name] ?? {};
  if (isRecord(value)) return value;
  throw new PluginError(CODE.invalidConfig, `Cannot use ${name}: it is no JSON object`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
