import { cp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { kubernetesMinor, takeUserArg } from "@k3s/control-plane";
import { ensureDirectory, writeFileAtomic } from "@k3s/files";
import { parse, stringify } from "yaml";
import { NodeRuntimeError } from "./errors.ts";
import { readsDropIns } from "./kubelet-args.ts";
import { kubeletConfig, type JsonObject, type KubeletConfigOptions } from "./kubelet-config.ts";
import { nodePaths } from "./node-runtime-options.ts";
import { ensureResolvConf } from "./resolv-conf.ts";

interface KubeletFiles {
  /** The user's arguments without those that name configuration files: these have become later drop-ins. */
  readonly userArgs: readonly string[];
  /** What the kubelet reads, all drop-ins merged. */
  readonly config: JsonObject;
}

export interface KubeletFilesOptions extends Omit<KubeletConfigOptions, "resolvConf"> {
  /** Absent: found or made. */
  readonly resolvConf?: string;
  readonly kubeletArgs: readonly string[];
}

/** Writes the kubelet's configuration. A release that reads one file only gets all drop-ins merged. */
export async function writeKubeletFiles(options: KubeletFilesOptions): Promise<KubeletFiles> {
  const paths = nodePaths(options);
  await ensureDirectory(paths.kubeletDropIns, 0o700);
  await ensureDirectory(paths.podManifests, 0o750);
  const resolvConf = options.resolvConf ?? (await ensureResolvConf(paths.resolvConf));
  await writeDropIn(paths.kubeletDropIns, "00-k3s-defaults.conf", kubeletConfig({ ...options, resolvConf }));
  const userArgs = await copyUserConfig(paths.kubeletDropIns, options.kubeletArgs);
  const config = await mergeDropIns(paths.kubeletDropIns);
  if (!readsDropIns(kubernetesMinor(options.kubernetesVersion)))
    await writeFileAtomic(paths.kubeletConfig, stringify(config), { mode: 0o600 });
  return { userArgs, config };
}

/** Later objects win; maps are merged, everything else is replaced, as the kubelet does with its drop-ins. */
function mergeConfig(base: JsonObject, over: JsonObject): JsonObject {
  const merged: Record<string, JsonObject[string]> = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const current = merged[name];
    merged[name] = isMap(current) && isMap(value) ? mergeConfig(current, value) : value;
  }
  return merged;
}

async function copyUserConfig(dropIns: string, args: readonly string[]): Promise<readonly string[]> {
  const file = takeUserArg(args, "config");
  const directory = takeUserArg(file.rest, "config-dir");
  const [fileTarget, directoryTarget] = [join(dropIns, "10-cli-config.conf"), join(dropIns, "20-cli-config-dir")];
  await rm(fileTarget, { force: true });
  await rm(directoryTarget, { recursive: true, force: true });
  const [source, sourceDirectory] = [file.values.at(-1), directory.values.at(-1)];
  if (source !== undefined) await cp(source, fileTarget);
  if (sourceDirectory !== undefined) await cp(sourceDirectory, directoryTarget, { recursive: true });
  return directory.rest;
}

/** The kubelet walks the folder in lexical order and takes files that end in .conf. */
async function mergeDropIns(dropIns: string): Promise<JsonObject> {
  const names = (await readdir(dropIns, { recursive: true })).filter((name) => name.endsWith(".conf")).sort();
  let merged: JsonObject = {};
  for (const name of names) merged = mergeConfig(merged, await readConfig(join(dropIns, name)));
  return merged;
}

async function readConfig(path: string): Promise<JsonObject> {
  try {
    const value: unknown = parse(await readFile(path, "utf8"));
    if (!isMap(value)) throw new Error("It is not a YAML map");
    return value;
  } catch (error) {
    throw NodeRuntimeError.kubeletConfig(path, error);
  }
}

async function writeDropIn(dropIns: string, name: string, config: JsonObject): Promise<void> {
  await writeFileAtomic(join(dropIns, name), stringify(config), { mode: 0o600 });
}

function isMap(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
