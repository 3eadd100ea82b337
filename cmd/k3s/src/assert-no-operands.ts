import type { Role } from "@k3s/config";
import { UsageError } from "./errors.ts";
import type { ParsedFlags } from "./node-flags.ts";

/** Throws UsageError when a word is no flag and no value of one. An unknown flag, which may have had it, is told by the configuration. */
export function assertNoOperands(role: Role, { operands: [unexpected], unknownFlags }: ParsedFlags): void {
  if (unknownFlags.length === 0 && unexpected !== undefined) {
    throw UsageError.wrongArguments(`${role} takes no argument "${unexpected}"`, `k3s ${role}`);
  }
}
