/** The promise that was broken. */
export type BrokenPromise =
  | "linearizable"
  | "undecided"
  | "header"
  | "lease-end"
  | "watch-agreement"
  | "watch-created"
  | "watch-ordered"
  | "watch-unique"
  | "watch-atomic"
  | "watch-bookmarkable"
  | "watch-reliable"
  | "watch-exact"
  | "watch-prev-kv"
  | "watch-compacted"
  | "watch-alive";

/** One broken promise, with what a person needs to see it. */
export interface Violation {
  readonly promise: BrokenPromise;
  readonly text: string;
  /** Lines of the history that show it. */
  readonly details: readonly string[];
}
