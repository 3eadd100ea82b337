export { ownerOf, type RecordsPlace } from "./child-record.ts";
export { endLeftovers, type LeftoverOptions } from "./end-leftovers.ts";
export { ProcessError } from "./errors.ts";
export { createNotifier, type Notifier, type NotifierOptions } from "./notifier.ts";
export type { ExitStatus, RestartPolicy } from "./restart-policy.ts";
export { runChild, type ChildCommand, type RunChildOptions } from "./run-child.ts";
export { SupervisedChild, type ChildPhase, type ChildState, type SupervisedChildOptions } from "./supervised-child.ts";
export type { ReadinessProbe } from "./wait-until-ready.ts";
export { ZombieReaper } from "./zombie-reaper.ts";
