import { describeError, NodeError } from "@k3s/errors";
import { redactText } from "@k3s/log";

/** What went wrong and what to do about it, for a person at a terminal; ends with a line feed. */
export function formatFailure(error: unknown): string {
  const lines = [`Error: ${redactText(describeError(error))}`];
  const cause = findNodeError(error);
  if (cause !== undefined) lines.push(`Code:  ${cause.code}`);
  if (cause?.hint !== undefined) lines.push(`Hint:  ${cause.hint}`);
  return `${lines.join("\n")}\n`;
}

/** The same as fields of a log line. */
export function failureFields(error: unknown): Readonly<Record<string, unknown>> {
  const cause = findNodeError(error);
  return {
    error,
    ...(cause === undefined ? {} : { code: cause.code }),
    ...(cause?.hint === undefined ? {} : { hint: cause.hint }),
  };
}

/** The outermost error of the chain that an operator can act on. */
function findNodeError(error: unknown): NodeError | undefined {
  let current = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if (current instanceof NodeError) return current;
    current = current instanceof AggregateError ? current.errors[0] : current.cause;
  }
  return undefined;
}
