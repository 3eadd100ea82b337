import { MACHINE_RULES, type ChosenByUser, type MachineFacts } from "@k3s/node-runtime";
import { missing, ok, type Check } from "../check.ts";

/** Nothing has been chosen yet by whoever examines a machine. */
const NOTHING_CHOSEN: ChosenByUser = { snapshotter: undefined, underSystemd: true };

/** A rule by which the node itself warns, as a check: both say the same. No check when there is no such rule. */
export function machineRule(
  id: string,
  title: string,
  place: Pick<Check, "group" | "severity" | "needsRoot">,
): Check[] {
  return MACHINE_RULES.filter((rule) => rule.id === id).map((rule) => ({
    ...{ id, title, cure: rule.cure, ...place },
    examine: ({ machine }: { readonly machine: MachineFacts }) =>
      rule.isMissing(machine, NOTHING_CHOSEN) ? missing(rule.found(machine), { effect: rule.effect }) : ok("good"),
  }));
}
