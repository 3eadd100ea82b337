import { GROUPS } from "./check.ts";
import type { Finding, Report } from "./evaluate.ts";

interface ReportOptions {
  /** Where the kernel's options come from; undefined: they were tried. */
  readonly kernelConfig: string | undefined;
}

/** The report as people read it; its last line is that of k3s' own command: `STATUS: pass`, or the number of misses. */
export function formatReport(report: Report, { kernelConfig }: ReportOptions): string {
  const source =
    kernelConfig === undefined
      ? "info: no configuration of this kernel can be read here; its features are tried where that is possible"
      : `info: reading kernel config from ${kernelConfig}`;
  const parts = GROUPS.flatMap((group) => {
    const findings = report.findings.filter((found) => found.group === group);
    return findings.length === 0 ? [] : [`${group}:\n${findings.map(formatFinding).join("")}`];
  });
  const last = report.failures === 0 ? "STATUS: pass" : `STATUS: ${report.failures} (fail)`;
  return `${source}\n\n${parts.join("\n")}\n${summary(report)}\n${last}\n`;
}

function formatFinding({ title, status, severity, found, effect, cure }: Finding): string {
  const lines = [`- ${title}: ${found}${mark({ status, severity })}`];
  if (effect !== undefined) lines.push(`    effect: ${effect}`);
  if (cure !== undefined) lines.push(`    cure:   ${cure}`);
  return `${lines.join("\n")}\n`;
}

function mark({ status, severity }: Pick<Finding, "status" | "severity">): string {
  if (status === "ok") return "";
  if (status === "unknown") return " (unknown)";
  return { required: " (fail)", recommended: " (warning)", optional: " (optional)" }[severity];
}

function summary({ failures, warnings }: Report): string {
  const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  return `${count(failures, "failure")}, ${count(warnings, "warning")}`;
}
