import type { LoadGenerator } from "./load-generator.ts";
import type { BenchOptions } from "./options.ts";
import type { Report } from "./report.ts";

/** What every part of the bench gets. */
export interface BenchContext {
  readonly options: BenchOptions;
  readonly report: Report;
  /** Our server, as {@link bundleServer} made it. */
  readonly server: string;
  /** Takes one job at a time. */
  readonly generator: LoadGenerator;
}

/** Runs `work`; when it fails that is noted, and the other parts go on. */
export async function attempt({ report }: BenchContext, what: string, work: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  try {
    await work();
    process.stderr.write(`${what}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);
  } catch (error) {
    report.fail(what, error);
    process.stderr.write(`${what}: failed: ${String(error)}\n`);
  }
}
