/** A stable, public identifier of one failure. Documented, and never used for anything else again. */
export type ErrorCode = `ERR_${string}`;

export interface NodeErrorOptions {
  /** What the operator can do about it, as a sentence without a full stop. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Base of every error raised on purpose that an operator can act on. */
export class NodeError extends Error {
  override readonly name: string = "NodeError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: NodeErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.hint = options.hint;
  }
}

/** The messages of an error and of its causes in one line, outermost first, without those that another one ends with; never a stack. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current !== undefined && parts.length < 8) {
    parts.push(messageOf(current));
    current = current instanceof Error ? current.cause : undefined;
  }
  const distinct = parts.filter((part, index) => parts.indexOf(part) === index);
  return distinct.reduceRight(
    (rest, part) => (rest === "" || part.endsWith(`: ${rest}`) ? part : `${part}: ${rest}`),
    "",
  );
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError)
    return [error.message, ...error.errors.map(describeError)].filter(Boolean).join("; ");
  return error instanceof Error ? error.message : String(error);
}
