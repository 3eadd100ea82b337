import { sideDraft, type Draft, type Needs, type Plan } from "./draft.ts";
import { StoreError } from "./store-errors.ts";

/** Runs a plan. A refusal is an answer like any other: true only if what it was compared with becomes durable. */
export function answering<T>(plan: Plan<T>, pinned: Map<number, Buffer>): Draft<() => T> | Needs {
  try {
    const draft = plan(pinned);
    return "needs" in draft ? draft : { ...draft, result: () => draft.result };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const refuse = () => {
      throw error;
    };
    return sideDraft(refuse, {});
  }
}
