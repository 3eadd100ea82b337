import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "@k3s/node-runtime";
import type { FirewallFacts, NetworkFacts } from "../host-facts.ts";
import { findRoutes } from "./parse-routes.ts";
import { isThere, readText } from "./read-file.ts";

const MANAGER_FOLDERS = ["/etc/NetworkManager", "/run/NetworkManager", "/usr/lib/NetworkManager"];
const CLOUD_SETUP = ["service", "timer"].map((kind) => `nm-cloud-setup.${kind}`);

interface NetworkOptions {
  /** Names of the programs that run. */
  readonly running: ReadonlySet<string>;
  /** Ranges of pods and services, such as `10.42.0.0/16`. */
  readonly ranges: readonly string[];
}

/** Looks at routes, interfaces and who manages them. */
export async function inspectNetwork({ running, ranges }: NetworkOptions): Promise<NetworkFacts> {
  // /sys/class/net may show the interfaces of another namespace.
  const [ipv4 = "", ipv6 = "", devices = ""] = await Promise.all(
    ["route", "ipv6_route", "dev"].map((table) => readFile(`/proc/net/${table}`, "utf8").catch(() => "")),
  );
  const interfaces = [...devices.matchAll(/^\s*([^\s:]+):/gm)].map(([, name = ""]) => name);
  return {
    ...findRoutes({ ipv4, ipv6 }, ranges),
    interfaces: interfaces.sort(),
    networkManager: running.has("NetworkManager") ? await managerFacts() : "absent",
    cloudSetup: await isCloudSetupEnabled(),
  };
}

async function managerFacts(): Promise<"manages-pods" | "leaves-pods-alone"> {
  const texts = await Promise.all(
    MANAGER_FOLDERS.flatMap((folder) => [readTexts(join(folder, "conf.d")), readTexts(folder)]),
  );
  const isTold = texts.flat().some((text) => /^\s*unmanaged-devices\s*\+?=.*(cni|flannel)/m.test(text));
  return isTold ? "leaves-pods-alone" : "manages-pods";
}

async function readTexts(folder: string): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".conf"));
  const texts = await Promise.all(names.map((name) => readText(join(folder, name))));
  return texts.filter((text) => text !== undefined);
}

async function isCloudSetupEnabled(): Promise<boolean> {
  const wants = ["multi-user.target.wants", "timers.target.wants", "NetworkManager.service.wants"];
  const links = wants.flatMap((folder) => CLOUD_SETUP.map((unit) => `/etc/systemd/system/${folder}/${unit}`));
  return (await Promise.all(links.map(isThere))).includes(true);
}

interface FirewallOptions {
  readonly running: ReadonlySet<string>;
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Looks at what keeps packets out. Changes no rule. */
export async function inspectFirewall({ running, path, signal }: FirewallOptions): Promise<FirewallFacts> {
  const ask = async (...command: [string, ...string[]]) => await runProgram(command, { path, signal }).catch(() => "");
  const policy = async (chain: string) =>
    new RegExp(`^-P ${chain} (\\w+)`, "m").exec(await ask("iptables", "-w", "5", "-S", chain))?.[1];
  const ufw = /^\s*ENABLED=yes/m.test((await readText("/etc/ufw/ufw.conf")) ?? "");
  const letIn = async () => {
    const zones = await Promise.all([
      ask("firewall-cmd", "--list-ports"),
      ask("firewall-cmd", "--zone=trusted", "--list-sources"),
    ]);
    return zones.join(" ").split(/\s+/).filter(Boolean);
  };
  return {
    firewalld: running.has("firewalld") ? await letIn() : undefined,
    ufw: ufw ? parseUfwStatus(await ask("ufw", "status")) : undefined,
    inputPolicy: await policy("INPUT"),
    forwardPolicy: await policy("FORWARD"),
  };
}

/** Ports that are open to everybody, and sources that may reach every port, from the table of `ufw status`. */
export function parseUfwStatus(text: string): string[] {
  const rows = [...text.matchAll(/^(\S+)(?: \(v6\))?\s+ALLOW(?: IN)?\s+(\S+)/gm)];
  return rows.flatMap(([, to = "", from = ""]) => {
    if (from === "Anywhere") return [to];
    return to === "Anywhere" ? [from] : [];
  });
}
