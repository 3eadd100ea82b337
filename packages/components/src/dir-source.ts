import { createHash } from "node:crypto";
import { access, chmod, copyFile, cp, lstat, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { REQUIRED_CNI_PLUGINS, REQUIRED_PROGRAMS } from "./component-set.ts";
import { createSet } from "./create-set.ts";
import { ComponentError } from "./errors.ts";
import { stagePause } from "./pause-image.ts";
import type { SourceContext } from "./source-context.ts";
import { absentAsUndefined } from "./verify.ts";

const OPTIONAL_PROGRAMS = ["etcd", "etcdctl", "crictl"];
/** Where a user may have put plugins, the most particular place first. */
const CNI_FOLDERS = ["bin/cni", "cni/bin", "cni", "bin", "."];
const PROGRAM_FOLDERS = ["bin", "."];
/** Taken along whole. */
const TAKEN_FOLDERS = ["bin/aux", "images"];

/** Changes with every file that `stageDirectory` takes, as far as path, size, mode and time of change tell. */
export async function directoryDigest(from: string): Promise<string> {
  const hash = createHash("sha256");
  const taken = [...(await findPrograms(from)).entries()];
  for (const folder of TAKEN_FOLDERS)
    for (const name of (await readdir(join(from, folder), { recursive: true }).catch(absentAsUndefined)) ?? [])
      taken.push([join(folder, name), join(from, folder, name)]);
  for (const [place, source] of taken.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { size, mode, mtimeMs } = await lstat(source);
    const target = await stat(source).catch(absentAsUndefined);
    hash.update(`${place} ${source} ${size} ${mode} ${mtimeMs} ${target?.size ?? ""} ${target?.mtimeMs ?? ""}\n`);
  }
  return hash.digest("hex");
}

/**
 * Fills the empty folder `staging` from a folder with binaries: flat, or with `bin` and `cni` below it; `images/*.tar` and
 * `bin/aux` are taken along. Rejects with ERR_COMPONENT_MISSING, which names everything that is not there.
 */
export async function stageDirectory(staging: string, from: string, context: SourceContext): Promise<void> {
  context.progress({ step: `Take programs from ${from}` });
  for (const [place, source] of await findPrograms(from)) {
    await makeDirectory(dirname(join(staging, place)));
    await copyFile(source, join(staging, place));
    await chmod(join(staging, place), 0o755);
  }
  for (const folder of TAKEN_FOLDERS) await copyFolder(join(from, folder), join(staging, folder));
  if (!(await exists(join(staging, "images/pause.tar")))) await stagePause(staging, context);
  await createSet({ folder: staging, cniVersion: "unknown", originOf: () => ({ source: from }) });
  context.progress({ step: `Take programs from ${from}`, finished: true });
}

/** Where each program is found, by its place in a component folder. */
async function findPrograms(from: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const name of [...REQUIRED_PROGRAMS, ...OPTIONAL_PROGRAMS])
    await findIn({ from, folders: PROGRAM_FOLDERS, name, place: `bin/${name}`, found });
  for (const name of REQUIRED_CNI_PLUGINS)
    await findIn({ from, folders: CNI_FOLDERS, name, place: `bin/cni/${name}`, found });
  await findOtherPlugins(from, found);
  const wanted = [...REQUIRED_PROGRAMS, ...REQUIRED_CNI_PLUGINS.map((name) => `cni/${name}`)];
  const missing = wanted.filter((name) => !found.has(`bin/${name}`));
  if (missing.length > 0) throw ComponentError.missing(missing, from);
  return found;
}

interface Search {
  readonly from: string;
  readonly folders: readonly string[];
  readonly name: string;
  readonly place: string;
  readonly found: Map<string, string>;
}

async function findIn({ from, folders, name, place, found }: Search): Promise<void> {
  for (const folder of folders) {
    const path = join(from, folder, name);
    const isFile = await stat(path).then(
      (entry) => entry.isFile(),
      () => false,
    );
    if (isFile) {
      found.set(place, path);
      return;
    }
  }
}

/** Beside the required plugins, everything else of their own folder; a flat folder holds other programs too, so nothing there. */
async function findOtherPlugins(from: string, found: Map<string, string>): Promise<void> {
  const bridge = found.get("bin/cni/bridge");
  if (bridge === undefined || [join(from, "bin"), from].includes(dirname(bridge))) return;
  for (const entry of await readdir(dirname(bridge), { withFileTypes: true }))
    if (entry.isFile()) found.set(`bin/cni/${entry.name}`, join(dirname(bridge), entry.name));
}

async function copyFolder(from: string, to: string): Promise<void> {
  if (await exists(from)) await cp(from, to, { recursive: true, verbatimSymlinks: true });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
