import { describeError, NodeError } from "@k3s/errors";
import type { Progress } from "@k3s/components";
import { createProgressDisplay } from "./progress-display.ts";

/** What a build command gets from the outside world. */
export interface BuildHost {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly progress: Progress;
  /** Aborts with the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}

/** Runs a build command and sets the exit code; a failure is one message with its cure. */
export async function runMain(main: (host: BuildHost) => Promise<number>): Promise<void> {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => controller.abort(new Error(`Stopped by ${name}`)));
  const { stderr } = process;
  const progress = createProgressDisplay({
    write: (text) => stderr.write(text),
    columns: stderr.isTTY ? stderr.columns : undefined,
    now: () => performance.now(),
  });
  const host = { argv: process.argv.slice(2), environment: process.env, progress, signal: controller.signal };
  try {
    process.exitCode = await main(host);
  } catch (error) {
    stderr.write(formatFailure(error));
    process.exitCode = 1;
  }
}

function formatFailure(error: unknown): string {
  if (!(error instanceof NodeError)) return `\nError: ${describeError(error)}\n`;
  const hint = error.hint === undefined ? "" : `  ${error.hint}\n`;
  return `\nError ${error.code}: ${error.message}\n${hint}`;
}
