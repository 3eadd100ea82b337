import { missingControllers } from "@k3s/node-runtime";
import { missing, ok, unknown, type Check } from "../check.ts";
import { formatBytes } from "../format-bytes.ts";
import { machineRule } from "./machine-rule.ts";

/** k3s' published minimum of a server is twice this; an agent gets along with it. */
const MEMORY_MIN_BYTES = 1024 ** 3;
/** kube-proxy and containerd keep a watch or two for each pod, editors and log readers take the rest. */
const INOTIFY_INSTANCES_MIN = 128;
const INOTIFY_WATCHES_MIN = 8192;

export const SYSTEM_CHECKS: readonly Check[] = [
  {
    ...{ id: "user", group: "System", title: "root", severity: "required" },
    cure: "Run it with sudo: a node needs root, and so does a full examination",
    examine: ({ system }) => (system.uid === 0 ? ok("yes") : missing(`this is user ${system.uid}`)),
  },
  {
    ...{ id: "programs", group: "System", title: "bundled programs", severity: "required" },
    cure: "Install k3s anew",
    examine: ({ programs }) => ("versions" in programs ? ok(programs.versions) : missing(programs.problem)),
  },
  {
    ...{ id: "settings", group: "System", title: "settings", severity: "required" },
    cure: "Correct them where they are set: /etc/rancher/k3s/config.yaml, its drop-ins, or K3S_ variables",
    examine: ({ settingsProblem }) => (settingsProblem === undefined ? ok("understood") : missing(settingsProblem)),
  },
  {
    ...{ id: "settings-warnings", group: "System", title: "doubtful settings", severity: "recommended" },
    cure: "Remove or correct what is named",
    examine: ({ settingsWarnings: found }) => (found.length === 0 ? ok("none") : missing(found.join("; "))),
  },
  {
    ...{ id: "memory", group: "System", title: "memory", severity: "recommended" },
    cure: "Give the machine 2 GiB for a server with some pods, or let it be an agent",
    examine: ({ system }) => {
      const found = formatBytes(system.memoryBytes);
      // Firmware and kernel keep a share of what is built in.
      if (system.memoryBytes >= 0.9 * MEMORY_MIN_BYTES) return ok(found);
      return missing(found, { effect: "A control plane takes most of 1 GiB" });
    },
  },
  {
    ...{ id: "cgroup-controllers", group: "Control groups", title: "cgroup hierarchy", severity: "required" },
    cure: "Enable the controllers in the kernel's command line, or give them to the container that runs this node",
    examine: ({ machine: { cgroups }, system }) => {
      const lacking = missingControllers(cgroups);
      const has = cgroups.controllers.join("|");
      if (lacking.length === 0) return ok(`cgroups ${cgroups.version} mounted, controllers ${has}`);
      return missing(`cgroups ${cgroups.version} without ${lacking.join(", ")}`, {
        effect: "No pod can run",
        ...(system.board.includes("Raspberry") ? { cure: RASPBERRY } : {}),
      });
    },
  },
  ...machineRule("cpu-controller", "CPU controller", { group: "Control groups", severity: "recommended" }),
  {
    ...{ id: "cgroup-version", group: "Control groups", title: "cgroup version", severity: "optional" },
    cure: "Boot with systemd.unified_cgroup_hierarchy=1: Kubernetes 1.35 and later refuse version 1 unless told otherwise",
    examine: ({ machine: { cgroups } }) => (cgroups.version === "v2" ? ok("v2") : missing(cgroups.version)),
  },
  ...machineRule("kubelet-sysctls", "settings that the kubelet writes", {
    group: "Kernel modules and settings",
    severity: "required",
    needsRoot: true,
  }),
  ...machineRule("kernel-log", "/dev/kmsg", { group: "System", severity: "required" }),
  ...machineRule("oom-score", "kill scores of pods", { group: "System", severity: "recommended", needsRoot: true }),
  ...machineRule("swap", "swap", { group: "System", severity: "recommended" }),
  {
    ...{ id: "kernel-modules", group: "Kernel modules and settings", title: "modules", severity: "required" },
    needsRoot: true,
    cure: "Load them on the host (modprobe), and name them in /etc/modules-load.d/k3s.conf",
    examine: ({ moduleGroups }) => {
      const lacking = moduleGroups.filter(({ works, missing: absent }) => !works && absent.length > 0);
      if (lacking.length === 0) return ok("loaded, built in or loadable");
      const names = lacking.flatMap(({ missing: absent }) => absent).join(", ");
      return missing(`neither there nor loadable: ${names}`, { effect: "Services and pod networking do not work" });
    },
  },
  {
    ...{ id: "sysctls", group: "Kernel modules and settings", title: "network settings", severity: "recommended" },
    needsRoot: true,
    cure: "Set them on the host, in /etc/sysctl.d/90-k3s.conf",
    examine: ({ sysctls }) => {
      // What belongs to a module comes with it.
      const wrong = sysctls.filter(
        ({ current, wanted, isWritable }) => current !== undefined && current !== wanted && !isWritable,
      );
      if (wrong.length === 0) return ok("as wanted, or set when the node starts");
      const names = wrong.map(({ name, wanted }) => `${name.replaceAll("/", ".")}=${wanted}`).join(" ");
      return missing(`cannot be changed from here: ${names}`, { effect: "Traffic of pods may not be forwarded" });
    },
  },
  {
    ...{ id: "root-maxkeys", group: "Kernel modules and settings", title: "root_maxkeys", severity: "recommended" },
    cure: "sysctl -w kernel.keys.root_maxkeys=1000000",
    examine: ({ limits, machine }) => {
      const keys = limits.rootKeys;
      if (keys === undefined) return unknown("the kernel does not say");
      const isSet = !machine.refusedKubeletSysctls.includes("kernel/keys/root_maxkeys");
      if (keys >= 10_000 || isSet) return ok(`${keys}${keys >= 10_000 ? "" : ", raised when the node starts"}`);
      return missing(String(keys), { effect: "Containers fail to start once each has taken a key" });
    },
  },
  {
    ...{ id: "inotify", group: "Kernel modules and settings", title: "file watches", severity: "recommended" },
    cure: "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288",
    examine: ({ limits: { inotifyInstances: instances, inotifyWatches: watches } }) => {
      if (instances === undefined || watches === undefined) return unknown("the kernel does not say");
      const found = `${instances} instances, ${watches} watches`;
      if (instances >= INOTIFY_INSTANCES_MIN && watches >= INOTIFY_WATCHES_MIN) return ok(found);
      return missing(found, {
        effect: "Logs cannot be followed and changes of files go unnoticed: too many open files",
      });
    },
  },
];

const RASPBERRY =
  "Append cgroup_memory=1 cgroup_enable=memory to the line in /boot/firmware/cmdline.txt (/boot/cmdline.txt before bookworm), then reboot";
