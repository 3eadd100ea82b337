import { unknown, type Answer, type Check } from "./check.ts";
import type { HostFacts } from "./host-facts.ts";

/** One check and its outcome. */
export interface Finding extends Pick<Check, "id" | "group" | "title" | "severity">, Pick<Answer, "status" | "found"> {
  readonly effect?: string;
  /** Only beside a miss. */
  readonly cure?: string;
}

export interface Report {
  readonly status: "pass" | "fail";
  /** How many required things are missing. */
  readonly failures: number;
  /** How many recommended ones. */
  readonly warnings: number;
  readonly findings: readonly Finding[];
}

/** Judges a machine by its facts. The same facts give the same report. */
export function evaluate(facts: HostFacts, checks: readonly Check[]): Report {
  const findings = checks.flatMap((check) => {
    const answer = check.examine(facts);
    if (answer === undefined) return [];
    const isHidden = answer.status === "missing" && check.needsRoot === true && facts.system.uid !== 0;
    return [finding(check, isHidden ? unknown("only root can tell") : answer)];
  });
  const count = (severity: Check["severity"]) =>
    findings.filter((found) => found.status === "missing" && found.severity === severity).length;
  const failures = count("required");
  return { status: failures === 0 ? "pass" : "fail", failures, warnings: count("recommended"), findings };
}

function finding(check: Check, { status, found, effect, cure }: Answer): Finding {
  const { id, group, title, severity } = check;
  const help = { ...(effect === undefined ? {} : { effect }), cure: cure ?? check.cure };
  return { id, group, title, severity, status, found, ...(status === "missing" ? help : {}) };
}
