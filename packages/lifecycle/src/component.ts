/**
 * A long-lived part of the node. The manager drives it in exactly this order:
 *
 *   created --prepare--> prepared --start--> running --stop--> stopped
 *      '-------------------'-- stop: legal in every state, any number of times
 */
export interface Component {
  /** Stable and lower-case: it appears in logs, in /readyz and in file names. */
  readonly name: string;
  /** Whatever can fail without running anything: folders, certificates, checks. */
  prepare?(signal: AbortSignal): Promise<void>;
  /** Resolves once dependents may use the component. */
  start(context: StartContext): Promise<void>;
  /** Gentle until `hurry` aborts, then by force. Resolves when nothing is left of it. */
  stop(hurry: AbortSignal): Promise<void>;
  /** Asked while it runs: rejects with the reason when the component cannot do its work right now. Absent: it always can. */
  checkHealth?(signal: AbortSignal): Promise<void>;
  /** For a group, while it starts: the members it waits for, as `group/member`. Absent: the component itself is the answer. */
  starting?(): readonly string[];
  /** For a group, while it stops: the members it waits for, as `group/member`. Absent: the component itself is the answer. */
  stopping?(): readonly string[];
}

/** What a component gets with start(). */
export interface StartContext {
  /** Cancels the start-up only; a running component is ended with stop(). */
  readonly signal: AbortSignal;
  /** Reports that the running component is gone for good. The node then shuts down. */
  readonly lost: (error: Error) => void;
}
