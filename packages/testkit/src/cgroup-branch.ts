import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "@k3s/async";

const ROOT = "/sys/fs/cgroup";
const REMOVE_ATTEMPTS = 100;
const REMOVE_DELAY_MS = 50;

/** The hierarchies mounted below /sys/fs/cgroup: `""` for a pure v2 machine, else one folder per v1 controller (and v2's `unified`). */
async function hierarchies(): Promise<readonly string[]> {
  if (existsSync(join(ROOT, "cgroup.controllers"))) return [""];
  const names = await readdir(ROOT);
  return names.filter((name) => existsSync(join(ROOT, name, "cgroup.procs")));
}

/** A group of the same name in every hierarchy: what a test host takes for the root of all cgroups. */
export class CgroupBranch implements AsyncDisposable {
  readonly #folders: readonly string[];

  private constructor(folders: readonly string[]) {
    this.#folders = folders;
  }

  static async create(name: string): Promise<CgroupBranch> {
    const folders = (await hierarchies()).map((hierarchy) => join(ROOT, hierarchy, name));
    for (const folder of folders) {
      await mkdir(folder);
      await inheritCpuset(folder);
    }
    return new CgroupBranch(folders);
  }

  /** The `cgroup.procs` files a process writes itself into in order to live in the branch. */
  get procsFiles(): readonly string[] {
    return this.#folders.map((folder) => join(folder, "cgroup.procs"));
  }

  /** Removes the branch, deepest groups first. Everything in it must have been killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const folder of this.#folders) await removeTree(folder);
  }
}

/** A v1 cpuset without processors takes no process. */
async function inheritCpuset(folder: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (!existsSync(join(folder, file))) continue;
    await writeFile(join(folder, file), await readFile(join(folder, "..", file)));
  }
}

async function removeTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  }
  for (let attempt = 1; ; attempt++) {
    try {
      await rmdir(folder);
      return;
    } catch (error) {
      // Killed processes leave their group a moment after their death.
      if (attempt === REMOVE_ATTEMPTS) throw error;
      await sleep(REMOVE_DELAY_MS);
    }
  }
}
