import { existsSync } from "node:fs";

/** Shell lines that move the shell into the host's branch of every hierarchy: entering the cgroup namespace alone does not. */
export function joinGroups(procsFiles: readonly string[]): string {
  return procsFiles.map((file) => `echo $$ > ${file}`).join("\n");
}

/** Shell lines that mount each hierarchy anew inside the host's cgroup namespace, where the host's branch is the root. */
export function cgroupMounts(procsFiles: readonly string[], top = "/sys/fs/cgroup"): string {
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return `mount -t cgroup2 cgroup2 ${top}`;
  const names = procsFiles.map((file) => file.split("/").at(-3) ?? "");
  const mounts = names.map((name) => {
    const how = name === "unified" ? "-t cgroup2" : `-t cgroup -o ${name === "systemd" ? "none,name=systemd" : name}`;
    return `mkdir -p ${top}/${name}\nmount ${how} ${name} ${top}/${name}`;
  });
  return [`mount -t tmpfs -o mode=755 cgroup ${top}`, ...mounts].join("\n");
}
