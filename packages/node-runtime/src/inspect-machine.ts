import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { inspectCgroups } from "./inspect-cgroups.ts";
import type { IptablesFacts, MachineFacts } from "./machine-facts.ts";
import { runProgram } from "./run-program.ts";

/** Score that runc gives a pod sandbox (the kubelet asks for it); needs CAP_SYS_RESOURCE. */
const SANDBOX_OOM_SCORE = -998;

/** What the kubelet's container manager writes at start, unless it is told to protect the kernel's values. */
const KUBELET_SYSCTLS: Readonly<Record<string, string>> = {
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/keys/root_maxbytes": "25000000",
};

interface InspectOptions {
  /** Where overlay mounts are tried: below the folder that containerd will use. Made when it is missing. */
  readonly overlayDirectory: string;
  /** Search path of the programs that pods need, such as iptables. */
  readonly path: string;
}

/** Finds out by trying what this machine allows. Changes nothing that stays. */
export async function inspectMachine(options: InspectOptions): Promise<MachineFacts> {
  const [cgroups, userNamespace, canLowerOomScore, swapOn, iptables, overlayfs, refused, kernelLog] = await Promise.all(
    [
      inspectCgroups(),
      inUserNamespace(),
      tryLowerOomScore(),
      isSwapOn(),
      inspectIptables(options.path),
      tryOverlayMount(options),
      refusedSysctls(KUBELET_SYSCTLS),
      exists("/dev/kmsg"),
    ],
  );
  return {
    kernel: parseKernelRelease(release()),
    cgroups,
    userNamespace,
    canLowerOomScore,
    swapOn,
    iptables,
    overlayfs,
    refusedKubeletSysctls: refused,
    kernelLog,
  };
}

/** Major and minor number of `uname -r`; zeros for what does not look like one. */
export function parseKernelRelease(text: string): { major: number; minor: number } {
  const match = /^(\d+)\.(\d+)/.exec(text);
  return { major: Number(match?.[1] ?? 0), minor: Number(match?.[2] ?? 0) };
}

/** The implementation behind `iptables --version`, for instance `iptables v1.8.9 (nf_tables)`. */
export function parseIptablesVersion(text: string): IptablesFacts {
  const match = /v(\d+(?:\.\d+)*)(?:\s+\((\w+)\))?/.exec(text);
  if (match === null) return { backend: "missing", version: "" };
  return { backend: match[2] === "nf_tables" ? "nft" : "legacy", version: match[1] ?? "" };
}

/** True where user ids are mapped: what concerns the whole machine is then not ours to set. */
export async function inUserNamespace(): Promise<boolean> {
  const map = (await readFile("/proc/self/uid_map", "utf8").catch(() => "0 0 4294967295")).trim().split(/\s+/);
  return !(map[0] === "0" && map[1] === "0" && map[2] === "4294967295");
}

/** Tries on ourselves: raising the value back is always allowed. */
async function tryLowerOomScore(): Promise<boolean> {
  const file = "/proc/self/oom_score_adj";
  try {
    const before = (await readFile(file, "utf8")).trim();
    await writeFile(file, String(SANDBOX_OOM_SCORE));
    await writeFile(file, before);
    return true;
  } catch {
    return false;
  }
}

async function isSwapOn(): Promise<boolean> {
  const swaps = await readFile("/proc/swaps", "utf8").catch(() => "");
  return swaps.trim().split("\n").length > 1;
}

async function inspectIptables(path: string): Promise<IptablesFacts> {
  return parseIptablesVersion(await runProgram(["iptables", "--version"], { path }).catch(() => ""));
}

async function tryOverlayMount({ overlayDirectory, path }: InspectOptions): Promise<boolean> {
  const directory = await makeDirectory(overlayDirectory, 0o700)
    .then(() => mkdtemp(join(overlayDirectory, ".overlay-check-")))
    .catch(() => undefined);
  if (directory === undefined) return false;
  const part = (name: string) => join(directory, name);
  try {
    for (const name of ["lower", "upper", "work", "merged"]) await mkdir(part(name));
    const layers = `lowerdir=${part("lower")},upperdir=${part("upper")},workdir=${part("work")}`;
    await runProgram(["mount", "-t", "overlay", "-o", layers, "overlay", part("merged")], { path });
    await runProgram(["umount", part("merged")], { path });
    return true;
  } catch {
    return false;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Those settings that have another value and cannot be written even with the one they have. */
async function refusedSysctls(wanted: Readonly<Record<string, string>>): Promise<string[]> {
  const refused = await Promise.all(
    Object.entries(wanted).map(async ([name, value]) => {
      const file = join("/proc/sys", name);
      const current = (await readFile(file, "utf8").catch(() => value)).trim();
      if (current === value) return [];
      return await writeFile(file, current).then(
        () => [],
        () => [name],
      );
    }),
  );
  return refused.flat();
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
