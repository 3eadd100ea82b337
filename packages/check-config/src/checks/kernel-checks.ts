import { missing, ok, unknown, type Answer, type Check } from "../check.ts";
import type { HostFacts } from "../host-facts.ts";
import { KERNEL_OPTIONS, type KernelOption } from "../kernel-options.ts";

/** One check for each option of the kernel. */
export const KERNEL_CHECKS: readonly Check[] = KERNEL_OPTIONS.map((option) => ({
  id: `kernel-${option.names[0].toLowerCase().replaceAll("_", "-")}`,
  group: option.severity === "optional" ? "Kernel options, optional" : "Kernel options, necessary",
  title: option.names.map((name) => `CONFIG_${name}`).join(" or "),
  severity: option.severity,
  cure: `Use a kernel with ${option.names.map((name) => `CONFIG_${name}`).join(" or ")}, which is for ${option.purpose}`,
  examine: (facts) => examineOption(option, facts),
}));

function examineOption(option: KernelOption, facts: HostFacts): Answer | undefined {
  const usesV2 = facts.machine.cgroups.version === "v2";
  if (option.cgroups !== undefined && usesV2 !== (option.cgroups === "v2")) return undefined;
  return facts.kernel.configFile === undefined ? answerByTrial(option, facts) : answerByFile(option, facts);
}

function answerByTrial({ names }: KernelOption, { kernel }: HostFacts): Answer {
  const tried = names.map((name) => kernel.tried[name]);
  if (tried.includes(true)) return ok("works");
  return tried.includes(false)
    ? missing("a trial failed")
    : unknown("the kernel's options cannot be read here, and this one cannot be tried");
}

function answerByFile(option: KernelOption, facts: HostFacts): Answer {
  const answers = option.names.map((name, index) => answerOf(name, option.modules?.[index], facts));
  return (
    answers.find(({ status }) => status === "ok") ??
    answers.find(({ status }) => status === "unknown") ??
    answers.find(({ found }) => found !== ABSENT) ??
    missing(ABSENT)
  );
}

const ABSENT = "missing";

function answerOf(name: string, module: string | undefined, { kernel, system }: HostFacts): Answer {
  const kind = kernel.options[name];
  if (kind === undefined) return missing(ABSENT);
  if (kind === "built-in") return ok("enabled");
  const state = module === undefined ? "loadable" : kernel.modules[module];
  if (state === "loaded" || state === "loadable") return ok("enabled (as module)");
  if (state === "absent")
    return missing(`enabled as module ${module ?? ""}, which is not installed`, { cure: extraModules(system) });
  return unknown(`enabled as module ${module ?? ""}, which is not loaded and cannot be looked for here`);
}

/** Distributions put modules that servers rarely need into a package of their own. */
function extraModules({ distribution, kernelRelease, board }: HostFacts["system"]): string {
  if (/ubuntu/i.test(distribution))
    return board.includes("Raspberry")
      ? "Install the rest of the modules: apt install linux-modules-extra-raspi, then reboot"
      : `Install the rest of the modules: apt install linux-modules-extra-${kernelRelease}`;
  if (/red hat|centos|rocky|alma|fedora|oracle/i.test(distribution))
    return `Install the rest of the modules: dnf install kernel-modules-extra-${kernelRelease}`;
  return `Install the modules of kernel ${kernelRelease}, or reboot if the kernel was upgraded since the last start`;
}
