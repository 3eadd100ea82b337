import { PreflightError } from "../errors.ts";

/** Below this a clock was never set, as after the battery of a board is gone. The limit is that of k3s. */
const CLOCK_MIN_MS = Date.UTC(1980, 0, 1);

/** Throws PreflightError unless a node may run as this user at this time. */
export function checkIdentity(facts: { readonly uid: number; readonly nowMs: number }): void {
  if (facts.uid !== 0) throw PreflightError.notRoot(facts.uid);
  if (facts.nowMs < CLOCK_MIN_MS) throw PreflightError.clock(new Date(facts.nowMs));
}
