import { access, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensureDirectory, ensureSymlink, readIfExists, writeFileAtomic } from "@k3s/files";
import { NetworkError } from "./errors.ts";
import { conflist, netConf } from "./flannel-files.ts";
import type { Backend } from "./lease.ts";
import { rangesByFamily } from "./address.ts";

export interface NetworkFilesOptions {
  readonly backend: Backend;
  /** The cluster's pod ranges. */
  readonly clusterCidrs: readonly string[];
  /** Folder the container runtime reads network lists from. */
  readonly confDir: string;
  /** Where flannel's own configuration lies. */
  readonly netConfFile: string;
  /** Folder of CNI plugins. */
  readonly pluginDir: string;
  /** Our executable, which is the plugin `flannel` when it is called by that name. */
  readonly executable: string;
}

const CONFLIST = "10-flannel.conflist";
const PLUGIN = "flannel";
const PRIVATE = { mode: 0o600 };

/**
 * Writes what the container runtime needs to know of the pod network, before the runtime starts: it then counts the network as
 * configured, and a pod that comes before the node has its range is tried again. Rejects with NetworkError without a plugin.
 */
export async function layOutNetworkFiles(options: NetworkFilesOptions): Promise<void> {
  const { backend, clusterCidrs, confDir, netConfFile } = options;
  await ensurePlugin(options);
  await ensureDirectory(dirname(netConfFile), 0o755);
  await writeIfOther(netConfFile, netConf(backend, rangesByFamily(clusterCidrs)));
  await ensureDirectory(confDir, 0o755);
  await writeIfOther(join(confDir, CONFLIST), conflist());
}

/** A plugin that came with the programs, or that the user put there, is left in its place. */
async function ensurePlugin({ pluginDir, executable }: NetworkFilesOptions): Promise<void> {
  const path = join(pluginDir, PLUGIN);
  const isThere = await isPresent(path);
  if (isThere && !(await isSameFile(path, executable))) return;
  if (!(await isPresent(executable))) throw NetworkError.noPlugin(pluginDir);
  await ensureSymlink(executable, path);
}

async function isPresent(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)));
  return first !== undefined && first.ino === second?.ino && first.dev === second.dev;
}

async function writeIfOther(path: string, text: string): Promise<void> {
  if ((await readIfExists(path))?.toString() !== text) await writeFileAtomic(path, text, PRIVATE);
}
