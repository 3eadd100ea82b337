import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory } from "@k3s/files";

/** What a container's root cgroup is called for its processes once they have left it (as dind and k3s do). */
const INIT = "init";

/**
 * Moves every process of the root cgroup `root` into a child and hands all controllers to its children.
 *
 * In a container the root of its cgroup namespace is an ordinary cgroup of version 2: as long as a process sits in it no
 * child can have controllers, and no pod a limit. Only the container's first process may decide this for all.
 */
export async function leaveRootCgroup(root: string): Promise<void> {
  await makeDirectory(join(root, INIT));
  const processes = (await readFile(join(root, "cgroup.procs"), "utf8")).split("\n").filter(Boolean);
  for (const pid of processes) await move(pid, join(root, INIT, "cgroup.procs"));
  const controllers = (await readFile(join(root, "cgroup.controllers"), "utf8")).trim().split(/\s+/).filter(Boolean);
  const enabled = controllers.map((name) => `+${name}`).join(" ");
  if (enabled !== "") await writeFile(join(root, "cgroup.subtree_control"), enabled);
}

/** A process can end, or be the kernel's own and refuse, before its turn comes. */
async function move(pid: string, file: string): Promise<void> {
  try {
    await writeFile(file, pid);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && (error.code === "ESRCH" || error.code === "EINVAL")))
      throw error;
  }
}
