import type { Snapshot } from "../model/state.ts";
import type { Gap, Operation } from "./operation.ts";
import type { WatchSession } from "./watch-session.ts";

/** Everything that clients saw of a server during one round. */
export interface History {
  readonly initial: Snapshot;
  readonly operations: readonly Operation[];
  readonly sessions: readonly WatchSession[];
  /** Revisions that other programs on the same database used up. */
  readonly gaps: readonly Gap[];
  /** How long after its term a lease may still hold keys, in ms. */
  readonly leasePatienceMs: number;
}
