import { missing, ok, unknown, type Check } from "../check.ts";

export const SOFTWARE_CHECKS: readonly Check[] = [
  {
    ...{ id: "rivals", group: "Other software", title: "other Kubernetes software", severity: "required" },
    cure: "Stop and disable it first: a machine is a node once; ports, pods, /var/lib/kubelet and rules would be shared",
    examine: ({ software: { rivals, ownPid } }) => {
      if (rivals.length > 0) return missing(rivals.map(({ name, pid }) => `${name} runs, process ${pid}`).join("; "));
      return ok(ownPid === undefined ? "none runs" : `only this k3s, process ${ownPid}`);
    },
  },
  {
    ...{ id: "cni-configs", group: "Other software", title: "network lists in /etc/cni/net.d", severity: "optional" },
    cure: "Remove them if the network they describe is gone; k3s keeps its own below the data dir",
    examine: ({ software: { cniConfigs } }) => (cniConfigs.length === 0 ? ok("none") : missing(cniConfigs.join(", "))),
  },
];

export const SECURITY_CHECKS: readonly Check[] = [
  {
    ...{ id: "apparmor", group: "Security", title: "AppArmor", severity: "recommended" },
    cure: "Install the package apparmor (or apparmor-parser)",
    examine: ({ security: { appArmor, appArmorParser } }) => {
      if (!appArmor) return ok("not enabled");
      return appArmorParser
        ? ok("enabled and tools installed")
        : missing("enabled, but apparmor_parser is not installed", { effect: "Containers run without a profile" });
    },
  },
  {
    ...{ id: "selinux", group: "Security", title: "SELinux", severity: "recommended" },
    cure: "Install the policies: dnf install container-selinux and k3s-selinux; or set it to permissive",
    examine: ({ security: { seLinux, containerPolicy } }) => {
      if (seLinux !== "enforcing" || containerPolicy) return ok(seLinux);
      return missing("enforcing, without a policy for containers", { effect: "Programs and containers may not start" });
    },
  },
  {
    ...{ id: "user-namespaces", group: "Security", title: "user namespaces", severity: "optional" },
    cure: "sysctl -w user.max_user_namespaces=28633 kernel.apparmor_restrict_unprivileged_userns=0, for rootless nodes only",
    examine: ({ limits: { userNamespaces, userNamespacesRestricted } }) => {
      if (userNamespaces === undefined) return unknown("the kernel does not say");
      if (userNamespaces === 0) return missing("none allowed");
      return userNamespacesRestricted ? missing("not for users without privileges") : ok(`up to ${userNamespaces}`);
    },
  },
];
