import { delimiter, join } from "node:path";
import type { LimitFacts, SecurityFacts } from "../host-facts.ts";
import { isThere, readNumber, readText } from "./read-file.ts";

/** Where the policies for containers are when they are installed. */
const CONTAINER_POLICIES = [
  "/var/lib/selinux/targeted/active/modules/200/container",
  "/var/lib/selinux/targeted/active/modules/200/k3s",
  "/usr/share/selinux/packages/container.pp.bz2",
  "/usr/share/selinux/packages/k3s.pp",
];

/** Looks at the security modules of the kernel and at what belongs to them. `path`: search path for programs. */
export async function inspectSecurity(path: string): Promise<SecurityFacts> {
  const parsers = [...path.split(delimiter), "/sbin", "/usr/sbin"].map((folder) => join(folder, "apparmor_parser"));
  const enforce = await readText("/sys/fs/selinux/enforce");
  return {
    appArmor: (await readText("/sys/module/apparmor/parameters/enabled")) === "Y",
    appArmorParser: (await Promise.all(parsers.map(isThere))).includes(true),
    seLinux: enforce === undefined ? "off" : enforce === "1" ? "enforcing" : "permissive",
    containerPolicy: (await Promise.all(CONTAINER_POLICIES.map(isThere))).includes(true),
  };
}

/** Reads what the kernel allows each user. */
export async function inspectLimits(): Promise<LimitFacts> {
  const [instances, watches, namespaces, keys] = await Promise.all(
    [
      "fs/inotify/max_user_instances",
      "fs/inotify/max_user_watches",
      "user/max_user_namespaces",
      "kernel/keys/root_maxkeys",
    ].map((name) => readNumber(`/proc/sys/${name}`)),
  );
  const [byAppArmor, byDebian] = await Promise.all(
    ["apparmor_restrict_unprivileged_userns", "unprivileged_userns_clone"].map((name) =>
      readText(`/proc/sys/kernel/${name}`),
    ),
  );
  return {
    inotifyInstances: instances,
    inotifyWatches: watches,
    userNamespaces: namespaces,
    userNamespacesRestricted: byAppArmor === "1" || byDebian === "0",
    rootKeys: keys,
  };
}
