import { resolve } from "node:path";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A failed test: its name, and what its error says, in all its lines. */
export interface FailedTest {
  readonly name: string;
  readonly error: string;
}

/**
 * Counts of a run from the end of its TAP report, as `node --test` writes it. A cancelled test is a failed one. A report
 * without the counts (the runner died) or a bad exit code without a failure counts as one failure.
 */
export function summarizeTap(report: string, exitCode: number): Counts {
  const count = (name: string) => {
    const matches = [...report.matchAll(new RegExp(`^# ${name} (\\d+)$`, "gm"))];
    return Number(matches.at(-1)?.[1] ?? Number.NaN);
  };
  const passed = count("pass");
  const failed = count("fail") + count("cancelled");
  if (Number.isNaN(passed) || Number.isNaN(failed)) return { passed: 0, failed: 1, skipped: 0 };
  return { passed, failed: failed === 0 && exitCode !== 0 ? 1 : failed, skipped: count("skipped") || 0 };
}

/** A failure and what it says: one line, which may be quoted, or a block that is indented below its key. */
const NOT_OK =
  /^ *not ok \d+ - (.*)\n(?: .*\n)*? +failureType: '(\w+)'\n(?: +(?:exitCode|signal): .*\n)*( +)error: (?:\|-\n((?:\3 {2}.*\n|\s*\n)+)|(.*))/gm;

/** What the runner says of an error that came after its test's end; the failure it counts is the file's and says nothing. */
const LATE = /^# Error: (Test .* at (\S+):\d+:\d+ generated asynchronous activity.*)/gm;

/** The tests that failed themselves, not because of tests within them. */
export function failedTests(report: string): readonly FailedTest[] {
  const late = new Map([...report.matchAll(LATE)].map(([, said, file = ""]) => [resolve(file), said]));
  return [...report.matchAll(NOT_OK)]
    .map(([, name = "", type = "", indent = "", block, line = ""]) => ({
      ...{ name, type },
      error: block === undefined ? line.replace(/^'(.*)'$/, "$1") : block.replaceAll(`\n${indent}  `, "\n").trim(),
    }))
    .filter(({ type }) => type !== "subtestsFailed")
    .map(({ name, error }) => ({ name, error: late.get(resolve(name)) ?? error }));
}
