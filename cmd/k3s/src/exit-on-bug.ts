import { failureFields } from "./format-failure.ts";
import type { LogOutput } from "./log-output.ts";

/** After a bug nothing can be trusted: say so and end. Children end with us, the service manager starts us again. */
export function exitOnBug(output: LogOutput): void {
  const onBug = (error: unknown) => {
    const stack = error instanceof Error ? error.stack : undefined;
    output.log.error({ ...failureFields(error), stack }, "node failed by a bug");
    void output.close().finally(() => process.exit(1));
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
}
