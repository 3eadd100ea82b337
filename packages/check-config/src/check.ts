import type { HostFacts } from "./host-facts.ts";

/** How a report is divided, in this order. */
export const GROUPS = [
  "System",
  "Control groups",
  "Kernel options, necessary",
  "Kernel options, optional",
  "Kernel modules and settings",
  "Network",
  "Ports",
  "Disk",
  "Clock",
  "Other software",
  "Security",
] as const;
type Group = (typeof GROUPS)[number];

/** Without what is required no node runs; what is recommended costs speed, safety or a feature; the rest serves those who ask for it. */
export type Severity = "required" | "recommended" | "optional";

/** What a check says about a machine. */
export interface Answer {
  readonly status: "ok" | "missing" | "unknown";
  /** What was found, in a few words. */
  readonly found: string;
  /** What the miss means, where the check does not say it already; one line. */
  readonly effect?: string;
  /** In place of the check's own; one line. */
  readonly cure?: string;
}

/** Something that a node needs of its machine. Looks at recorded facts only. */
export interface Check {
  /** Stable and lower-case: people and tools refer to it. */
  readonly id: string;
  readonly group: Group;
  readonly title: string;
  readonly severity: Severity;
  /** What the operator can do about a miss; one line. */
  readonly cure: string;
  /** Without privileges a miss says nothing: what was tried is refused to everybody but root. */
  readonly needsRoot?: boolean;
  /** Undefined: it does not concern this machine. */
  readonly examine: (facts: HostFacts) => Answer | undefined;
}

export const ok = (found: string): Answer => ({ status: "ok", found });
export const missing = (found: string, more: Pick<Answer, "effect" | "cure"> = {}): Answer => ({
  status: "missing",
  found,
  ...more,
});
export const unknown = (found: string): Answer => ({ status: "unknown", found });
