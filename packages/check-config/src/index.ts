export { checksFor } from "./checks.ts";
export { evaluate } from "./evaluate.ts";
export { findMount } from "./find-mount.ts";
export { formatReport } from "./format-report.ts";
export type { PortFacts, ProgramFacts } from "./host-facts.ts";
export { inspectHost } from "./inspect-host.ts";
export { CLOCK_MIN_MS, DATA_DIR_MIN } from "./limits.ts";
