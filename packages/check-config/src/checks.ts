import { GROUPS, type Check } from "./check.ts";
import { CLOCK_CHECKS } from "./checks/clock-checks.ts";
import { DISK_CHECKS } from "./checks/disk-checks.ts";
import { KERNEL_CHECKS } from "./checks/kernel-checks.ts";
import { NETWORK_CHECKS, portChecks } from "./checks/network-checks.ts";
import { SECURITY_CHECKS, SOFTWARE_CHECKS } from "./checks/software-checks.ts";
import { SYSTEM_CHECKS } from "./checks/system-checks.ts";
import type { HostFacts } from "./host-facts.ts";

/** Everything that is looked at on a machine, by group. The ports are those that its configuration names. */
export function checksFor({ ports }: Pick<HostFacts, "ports">): Check[] {
  const all = [
    ...SYSTEM_CHECKS,
    ...KERNEL_CHECKS,
    ...NETWORK_CHECKS,
    ...portChecks(ports),
    ...DISK_CHECKS,
    ...CLOCK_CHECKS,
    ...SOFTWARE_CHECKS,
    ...SECURITY_CHECKS,
  ];
  return GROUPS.flatMap((group) => all.filter((check) => check.group === group));
}
