import { contains, type Change } from "../model/state.ts";
import type { Span } from "../history/operation.ts";
import type { Transition } from "./linearize.ts";

/** What really happened, by revision, as the search found it. */
export class Timeline {
  readonly #changes: readonly Change[];

  constructor(transitions: readonly Transition[]) {
    this.#changes = transitions.flatMap(({ changes }) => changes);
  }

  /** Changes in a span of keys from one revision to another, both included, in their order. */
  changes(span: Span, revisions: { readonly from: number; readonly to: number }): Change[] {
    return this.#changes.filter(({ version }) => {
      const isWithin = version.mod >= revisions.from && version.mod <= revisions.to;
      return isWithin && contains(span, version.key);
    });
  }
}
