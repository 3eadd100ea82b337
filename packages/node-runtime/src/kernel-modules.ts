import { access, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { runProgram } from "./run-program.ts";

/** Finds out whether the feature of a module is there, be it as a module or built in. */
type Evidence = (path: string) => Promise<boolean>;

const file =
  (name: string): Evidence =>
  () =>
    exists(name);
/** Listing the tables works with either backend of iptables, and only when the kernel has what that backend needs. */
const tables =
  (program: string): Evidence =>
  async (path) =>
    await Promise.all(
      ["nat", "filter"].map((table) => runProgram([program, "-w", "5", "-t", table, "-S"], { path })),
    ).then(
      () => true,
      () => false,
    );

interface ModuleGroup {
  readonly names: readonly string[];
  readonly evidence: Evidence;
}

/** The modules that k3s loads, in its order. */
const MODULES: readonly ModuleGroup[] = [
  { names: ["overlay"], evidence: async () => (await readFile("/proc/filesystems", "utf8")).includes("\toverlay\n") },
  { names: ["nf_conntrack"], evidence: file("/proc/sys/net/netfilter/nf_conntrack_max") },
  { names: ["br_netfilter"], evidence: file("/proc/sys/net/bridge/bridge-nf-call-iptables") },
  {
    names: ["iptable_nat", "iptable_filter", "nft-expr-counter", "nfnetlink-subsys-11", "nft-chain-2-nat"],
    evidence: tables("iptables"),
  },
];
const MODULES_IPV6: readonly ModuleGroup[] = [
  { names: ["ip6table_nat", "ip6table_filter"], evidence: tables("ip6tables") },
];

interface ModuleOptions {
  /** Search path for modprobe and iptables. */
  readonly path: string;
  readonly ipv6: boolean;
}

/** Loads what a node needs. Returns the modules that are neither loaded nor built in. */
export async function loadModules({ path, ipv6 }: ModuleOptions): Promise<string[]> {
  const missing: string[] = [];
  for (const { names, evidence } of moduleGroups(ipv6)) {
    const refused: string[] = [];
    for (const name of names) if (!(await loadModule(name, path))) refused.push(name);
    if (refused.length > 0 && !(await evidence(path))) missing.push(...refused);
  }
  return missing;
}

/** Modules that serve one purpose together. */
export interface ModuleGroupFacts {
  readonly names: readonly string[];
  /** Does the feature work as things are? */
  readonly works: boolean;
  /** Those that are neither loaded, built in, nor could be loaded. */
  readonly missing: readonly string[];
}

/** What {@link loadModules} would find, without loading anything. */
export async function inspectModules({ path, ipv6 }: ModuleOptions): Promise<ModuleGroupFacts[]> {
  return await Promise.all(
    moduleGroups(ipv6).map(async ({ names, evidence }) => {
      const isThere = await Promise.all(names.map((name) => isLoadable(name, path)));
      return { names, works: await evidence(path), missing: names.filter((_, index) => isThere[index] !== true) };
    }),
  );
}

function moduleGroups(ipv6: boolean): readonly ModuleGroup[] {
  return [...MODULES, ...(ipv6 ? MODULES_IPV6 : [])];
}

async function loadModule(name: string, path: string): Promise<boolean> {
  if (await isLoaded(name)) return true;
  return await succeeds(["modprobe", name], path);
}

async function isLoadable(name: string, path: string): Promise<boolean> {
  if (await isLoaded(name)) return true;
  // Without its list modprobe takes every name for one that it cannot find.
  if (!(await exists(join("/lib/modules", release(), "modules.dep")))) return false;
  return await succeeds(["modprobe", "--dry-run", "--quiet", name], path);
}

async function isLoaded(name: string): Promise<boolean> {
  return await exists(`/sys/module/${name.replaceAll("-", "_")}`);
}

async function succeeds(command: readonly [string, ...string[]], path: string): Promise<boolean> {
  return await runProgram(command, { path }).then(
    () => true,
    () => false,
  );
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
