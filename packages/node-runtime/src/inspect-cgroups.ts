import { readFile } from "node:fs/promises";
import type { CgroupFacts } from "./machine-facts.ts";

/** Where every distribution mounts its cgroups. */
export const CGROUP_ROOT = "/sys/fs/cgroup";

/** Reads which cgroup hierarchy is mounted and what it offers; see cgroups(7). */
export async function inspectCgroups(): Promise<CgroupFacts> {
  const [mounts, self, init, v2Controllers] = await Promise.all([
    readFile("/proc/self/mounts", "utf8"),
    readFile("/proc/self/cgroup", "utf8"),
    readFile("/proc/1/cgroup", "utf8").catch(() => ""),
    readFile(`${CGROUP_ROOT}/cgroup.controllers`, "utf8").catch(() => ""),
  ]);
  return { ...parseCgroupMounts(mounts, v2Controllers), own: parseCgroupPath(self), init: parseCgroupPath(init) };
}

/** Version and controllers from the text of /proc/self/mounts and of the root's cgroup.controllers. */
export function parseCgroupMounts(
  mounts: string,
  v2Controllers: string,
): { version: CgroupFacts["version"]; controllers: string[] } {
  const rows = mounts
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, target]) => target === CGROUP_ROOT || target?.startsWith(`${CGROUP_ROOT}/`) === true);
  if (rows.some(([, target, type]) => type === "cgroup2" && target === CGROUP_ROOT))
    return { version: "v2", controllers: v2Controllers.split(/\s+/).filter(Boolean).sort() };
  const v1 = rows.filter(([, , type]) => type === "cgroup").map(([, target]) => target?.slice(CGROUP_ROOT.length + 1));
  const controllers = v1.flatMap((name) => name?.split(",") ?? []).filter((name) => name !== "" && name !== "systemd");
  const version = rows.some(([, , type]) => type === "cgroup2") ? "hybrid" : "v1";
  return { version, controllers: [...new Set(controllers)].sort() };
}

/** Our path in the hierarchy that shows where a process was started: systemd's own, else the unified one, else any. */
export function parseCgroupPath(procCgroup: string): string {
  const rows = procCgroup
    .trim()
    .split("\n")
    .map((line) => {
      const [, controllers = "", ...path] = line.split(":");
      return { controllers, path: path.join(":") };
    });
  const row =
    rows.find(({ controllers }) => controllers === "name=systemd") ??
    rows.find(({ controllers }) => controllers === "") ??
    rows[0];
  return row?.path === undefined || row.path === "" ? "/" : row.path;
}
