import { readFile } from "node:fs/promises";
import { lastArg, listenerAddress, type ListenerAddress } from "@k3s/control-plane";
import { parse } from "yaml";
import type { JsonObject } from "./kubelet-config.ts";

/** Upstream defaults of the two health listeners. */
const KUBELET_PORT = 10_248;
const KUBE_PROXY_PORT = 10_256;
const LOOPBACK = "127.0.0.1";

/** Where a kubelet with these arguments and this configuration says how it is; undefined when it is told not to. */
export function kubeletHealth(args: readonly string[], config: JsonObject): ListenerAddress | undefined {
  const { healthzBindAddress: host, healthzPort: port } = config;
  return listenerAddress(
    lastArg(args, "healthz-bind-address") ?? (typeof host === "string" && host !== "" ? host : LOOPBACK),
    Number(lastArg(args, "healthz-port") ?? port ?? KUBELET_PORT),
  );
}

/** Where a kube-proxy with these arguments says how it is; undefined when it is told not to. */
export async function kubeProxyHealth(args: readonly string[]): Promise<ListenerAddress | undefined> {
  const file = lastArg(args, "config");
  // With a file the flags are not looked at.
  if (file !== undefined) return fromHostPort((await boundInFile(file)) || "0.0.0.0", KUBE_PROXY_PORT);
  const bound = lastArg(args, "healthz-bind-address") ?? LOOPBACK;
  // Only old releases have this flag; 0 turns the listener off whatever its address is.
  const port = Number(lastArg(args, "healthz-port") ?? KUBE_PROXY_PORT);
  return bound === "" || port === 0 ? undefined : fromHostPort(bound, port);
}

/** A file that cannot be used is kube-proxy's to complain about. */
async function boundInFile(path: string): Promise<string | undefined> {
  try {
    const value: unknown = parse(await readFile(path, "utf8"));
    if (typeof value !== "object" || value === null || !("healthzBindAddress" in value)) return undefined;
    return typeof value.healthzBindAddress === "string" ? value.healthzBindAddress : undefined;
  } catch {
    return undefined;
  }
}

/** `address`, `address:port` or `[address]:port`; an IPv6 address without brackets has no port. */
function fromHostPort(text: string, defaultPort: number): ListenerAddress | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text);
  return match === null
    ? listenerAddress(text, defaultPort)
    : listenerAddress(match[1] ?? match[2] ?? "", Number(match[3]));
}
