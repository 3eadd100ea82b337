import { readFile } from "node:fs/promises";
import { release } from "node:os";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { KernelFacts } from "../host-facts.ts";
import { KERNEL_OPTIONS } from "../kernel-options.ts";
import { isThere, readText } from "./read-file.ts";
import { tryFeatures } from "./try-features.ts";

const unzip = promisify(gunzip);

/** Where distributions leave the options that a kernel was built with. */
function configFiles(kernelRelease: string): string[] {
  return [
    "/proc/config.gz",
    `/boot/config-${kernelRelease}`,
    `/usr/src/linux-${kernelRelease}/.config`,
    "/usr/src/linux/.config",
    `/lib/modules/${kernelRelease}/config`,
    `/lib/modules/${kernelRelease}/build/.config`,
    `/usr/lib/ostree-boot/config-${kernelRelease}`,
    `/usr/lib/kernel/config-${kernelRelease}`,
    `/usr/src/linux-headers-${kernelRelease}/.config`,
  ];
}

interface KernelOptions {
  /** A file of options to read in place of those of the running kernel. */
  readonly configFile: string | undefined;
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Reads what the kernel can do; where that is written nowhere it is tried. Rejects when the file that was named cannot be read. */
export async function inspectKernel({ configFile, path, signal }: KernelOptions): Promise<KernelFacts> {
  const found = configFile === undefined ? await firstReadable(configFiles(release())) : await readConfig(configFile);
  return {
    configFile: found?.file,
    options: found === undefined ? {} : parseKernelConfig(found.text),
    modules: await inspectModuleFiles(release()),
    tried: found === undefined ? await tryFeatures({ path, signal }) : {},
  };
}

async function firstReadable(files: readonly string[]) {
  for (const file of files) {
    const found = await readConfig(file).catch(() => undefined);
    if (found !== undefined && /^CONFIG_\w+=/m.test(found.text)) return found;
  }
  return undefined;
}

async function readConfig(file: string): Promise<{ readonly file: string; readonly text: string }> {
  const data = await readFile(file);
  const isPacked = data[0] === 0x1f && data[1] === 0x8b;
  return { file, text: (isPacked ? await unzip(data) : data).toString() };
}

/** The options that are looked at, from the text of a kernel's configuration. */
export function parseKernelConfig(text: string): KernelFacts["options"] {
  const wanted = new Set(KERNEL_OPTIONS.flatMap(({ names }) => names));
  const rows = text.matchAll(/^CONFIG_(\w+)=([ym])$/gm);
  return Object.fromEntries(
    [...rows].flatMap(([, name = "", value]) =>
      wanted.has(name) ? [[name, value === "y" ? "built-in" : "module"] as const] : [],
    ),
  );
}

async function inspectModuleFiles(kernelRelease: string): Promise<KernelFacts["modules"]> {
  const folder = `/lib/modules/${kernelRelease}`;
  const [dependencies, builtIn] = await Promise.all([
    readText(`${folder}/modules.dep`),
    readText(`${folder}/modules.builtin`),
  ]);
  const installed = dependencies === undefined ? undefined : parseModuleList(`${dependencies}\n${builtIn ?? ""}`);
  const names = [...new Set(KERNEL_OPTIONS.flatMap(({ modules = [] }) => modules))];
  const states = await Promise.all(
    names.map(async (name) => {
      if (await isThere(`/sys/module/${name}`)) return [name, "loaded"] as const;
      if (installed === undefined) return [name, "unknown"] as const;
      return [name, installed.has(name) ? "loadable" : "absent"] as const;
    }),
  );
  return Object.fromEntries(states);
}

/** Names of modules as the kernel spells them, from the lines of modules.dep or modules.builtin. */
export function parseModuleList(text: string): Set<string> {
  const files = text.split("\n").map((line) => line.split(":")[0]?.trim() ?? "");
  const names = files.map((file) => /([^/]+)\.ko(\.\w+)?$/.exec(file)?.[1]?.replaceAll("-", "_"));
  return new Set(names.filter((name) => name !== undefined));
}
