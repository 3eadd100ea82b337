import { CLOCK_MIN_MS } from "@k3s/check-config";
import type { Role } from "@k3s/config";
import { PreflightError } from "../errors.ts";

/** Throws PreflightError unless a node may run as this user at this time. */
export function checkIdentity(role: Role, facts: { readonly uid: number; readonly nowMs: number }): void {
  if (facts.uid !== 0) throw PreflightError.notRoot(role, facts.uid);
  if (facts.nowMs < CLOCK_MIN_MS) throw PreflightError.clock(role, new Date(facts.nowMs));
}
