export { ownerOf, type RecordsPlace } from "./child-record.ts";
export { endLeftovers, isLeftover } from "./end-leftovers.ts";
export { ProcessError } from "./errors.ts";
export { createNotifier, type Notifier } from "./notifier.ts";
export { rawLogLimits, RotatingFile } from "./rotating-file.ts";
export { runChild, type ChildCommand } from "./run-child.ts";
export { SupervisedChild } from "./supervised-child.ts";
export type { ReadinessProbe } from "./wait-until-ready.ts";
export { ZombieReaper } from "./zombie-reaper.ts";
