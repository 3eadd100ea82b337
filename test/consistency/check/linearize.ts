import type { Hole, Operation, Outcome, Request, Response } from "../history/operation.ts";
import { matches } from "../model/expected.ts";
import type { Applied, Model } from "../model/model.ts";
import { fingerprint, type Change, type State } from "../model/state.ts";
import type { Evidence } from "./evidence.ts";

/** A request that took effect at most once, at any time after `invokedAt`, or never. */
export interface OptionalEffect {
  readonly request: Request | Hole;
  readonly invokedAt: number;
}

export interface SearchInput {
  readonly initial: State;
  readonly model: Model;
  /** Operations with a known outcome. */
  readonly operations: readonly Operation[];
  readonly optional: readonly OptionalEffect[];
  readonly evidence: Evidence;
  /** States looked at before the search gives up. */
  readonly statesMax: number;
}

/** One change of the state in the order that was found; `request` is missing where nobody knows who asked. */
export interface Transition {
  readonly request: Request | Hole;
  readonly state: State;
  readonly changes: readonly Change[];
}

/** The farthest point that any order reached. */
export interface DeadEnd {
  readonly state: State;
  readonly explained: number;
  readonly transitions: readonly Transition[];
  /** Operations of which one would have to be next, and what the model says of each. */
  readonly stuck: readonly { readonly operation: Operation; readonly applied: Applied }[];
}

export type SearchResult =
  | { readonly kind: "linearizable"; readonly transitions: readonly Transition[]; readonly states: number }
  | { readonly kind: "impossible"; readonly deadEnd: DeadEnd }
  | { readonly kind: "undecided"; readonly deadEnd: DeadEnd };

interface Choice {
  readonly transition: Transition;
  /** Position in the known operations, or in the optional ones. */
  readonly position: number;
  readonly isKnown: boolean;
}

interface LowestRevisions {
  readonly first: number;
  readonly second: number;
  readonly position: number;
}

interface Frame {
  readonly state: State;
  /** Known operations that change nothing and were taken in this state. */
  readonly absorbed: readonly number[];
  readonly choices: readonly Choice[];
  next: number;
}

/**
 * Looks for one order of the operations that the model explains and that no clock contradicts (Wing and Gong's search with
 * Lowe's memory of states seen before). Revisions in the answers leave few choices:
 *
 * - an operation that fits and changes nothing is taken at once: no other order can need it later;
 * - a state whose revision is above that of an answer that is still waiting is a dead end;
 * - effects without an answer are tried last, and only where all that was seen of the new revision agrees.
 */
export class LinearizationSearch {
  readonly #input: SearchInput;
  readonly #known: readonly Operation[];
  readonly #taken: Uint8Array;
  readonly #optionalTaken = new Set<number>();
  readonly #seen = new Set<string>();
  readonly #frames: Frame[] = [];
  /** First known operation that is not taken. */
  #base = 0;
  #takenCount = 0;
  #deadEnd: DeadEnd | undefined;

  constructor(input: SearchInput) {
    this.#input = input;
    this.#known = input.operations.toSorted((a, b) => a.invokedAt - b.invokedAt);
    this.#taken = new Uint8Array(this.#known.length);
  }

  run(): SearchResult {
    this.#enter(this.#input.initial);
    while (this.#takenCount < this.#known.length) {
      if (this.#seen.size > this.#input.statesMax) return { kind: "undecided", deadEnd: this.#farthest() };
      const frame = this.#frames.at(-1);
      if (frame === undefined) return { kind: "impossible", deadEnd: this.#farthest() };
      const choice = frame.choices[frame.next];
      if (choice === undefined) {
        this.#back();
        continue;
      }
      frame.next++;
      this.#take(choice, 1);
      this.#enter(choice.transition.state);
    }
    return { kind: "linearizable", transitions: this.#path(), states: this.#seen.size };
  }

  /** Makes the frame of a state; one without choices when the same situation was a dead end before. */
  #enter(state: State): void {
    const absorbed = this.#absorb(state);
    const key = this.#key(state);
    const isOpen = !this.#seen.has(key) && this.#takenCount < this.#known.length;
    this.#seen.add(key);
    const choices = isOpen ? this.#choices(state) : [];
    this.#frames.push({ state, absorbed, choices, next: 0 });
    if (isOpen && choices.length === 0) this.#note(state);
  }

  /** Leaves the newest frame and takes the choice back that led to it. */
  #back(): void {
    const frame = this.#frames.pop();
    for (const position of frame?.absorbed ?? []) this.#mark(position, 0);
    const above = this.#frames.at(-1);
    const choice = above?.choices[above.next - 1];
    if (choice !== undefined) this.#take(choice, 0);
  }

  #take({ position, isKnown }: Choice, mark: 0 | 1): void {
    if (isKnown) this.#mark(position, mark);
    else if (mark === 1) this.#optionalTaken.add(position);
    else this.#optionalTaken.delete(position);
  }

  #mark(position: number, mark: 0 | 1): void {
    this.#taken[position] = mark;
    this.#takenCount += mark === 1 ? 1 : -1;
    if (mark === 0) this.#base = Math.min(this.#base, position);
    while (this.#taken[this.#base] === 1) this.#base++;
  }

  /** Takes what fits and changes nothing, until there is nothing more of it. */
  #absorb(state: State): number[] {
    const absorbed: number[] = [];
    for (let found = true; found;) {
      found = false;
      for (const position of this.#candidates().positions) {
        const operation = this.#known[position];
        if (operation === undefined || !couldLeave(state, operation)) continue;
        const applied = this.#input.model.apply(state, operation.request);
        if (applied.state !== state || !explains(applied, state, operation.outcome)) continue;
        this.#mark(position, 1);
        absorbed.push(position);
        found = true;
      }
    }
    return absorbed;
  }

  #choices(state: State): Choice[] {
    const { positions, before } = this.#candidates();
    const lowest = this.#lowestRevisions(positions);
    return [...this.#knownChoices(state, positions, lowest), ...this.#optionalChoices(state, before, lowest.first)];
  }

  #knownChoices(state: State, positions: readonly number[], lowest: LowestRevisions): Choice[] {
    return positions.flatMap((position): Choice[] => {
      const operation = this.#known[position];
      if (operation?.outcome.kind !== "ok") return [];
      const applied = this.#input.model.apply(state, operation.request);
      if (applied.state === state || !explains(applied, state, operation.outcome)) return [];
      const others = lowest.position === position ? lowest.second : lowest.first;
      const transition = this.#transition(operation.request, applied, others);
      return transition === undefined ? [] : [{ transition, position, isKnown: true }];
    });
  }

  #optionalChoices(state: State, before: number, lowestWaiting: number): Choice[] {
    return this.#input.optional.flatMap(({ request, invokedAt }, position): Choice[] => {
      if (this.#optionalTaken.has(position) || invokedAt > before) return [];
      const applied = this.#input.model.apply(state, request);
      if (applied.state === state) return [];
      const transition = this.#transition(request, applied, lowestWaiting);
      return transition === undefined ? [] : [{ transition, position, isKnown: false }];
    });
  }

  /** undefined when the step contradicts what was seen, or passes an answer that is still waiting. */
  #transition(request: Request | Hole, { state, changes }: Applied, lowestWaiting: number): Transition | undefined {
    if (state.revision > lowestWaiting) return undefined;
    if ((changes.length > 0 || request.kind === "hole") && !this.#input.evidence.allows(state.revision, changes))
      return undefined;
    return { request, state, changes };
  }

  /** The two lowest exact revisions among waiting answers, and whose the first is. */
  #lowestRevisions(positions: readonly number[]): LowestRevisions {
    let [first, second, owner] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, -1];
    for (const position of positions) {
      const revision = exactRevision(this.#known[position]) ?? Number.POSITIVE_INFINITY;
      if (revision < first) [first, second, owner] = [revision, first, position];
      else second = Math.min(second, revision);
    }
    return { first, second, position: owner };
  }

  /** Operations that no waiting one precedes, and the time before which an optional effect must have been asked for. */
  #candidates(): { readonly positions: readonly number[]; readonly before: number } {
    const positions: number[] = [];
    let before = Number.POSITIVE_INFINITY;
    for (let position = this.#base; position < this.#known.length; position++) {
      const operation = this.#known[position];
      if (operation === undefined || operation.invokedAt > before) break;
      if (this.#taken[position] === 1) continue;
      positions.push(position);
      before = Math.min(before, operation.returnedAt);
    }
    return { positions, before };
  }

  /** Names the situation: what is taken, and the state. */
  #key(state: State): string {
    const ahead: number[] = [];
    let left = this.#takenCount - this.#base;
    for (let position = this.#base + 1; left > 0; position++) {
      if (this.#taken[position] !== 1) continue;
      ahead.push(position);
      left--;
    }
    const optional = [...this.#optionalTaken].sort((a, b) => a - b); // in whatever order they were taken
    return `${this.#base},${ahead.join()};${optional.join()};${fingerprint(state)}`;
  }

  #note(state: State): void {
    if (this.#deadEnd !== undefined && this.#deadEnd.explained >= this.#takenCount) return;
    const stuck = this.#candidates().positions.flatMap((position) => {
      const operation = this.#known[position];
      return operation === undefined ? [] : [{ operation, applied: this.#input.model.apply(state, operation.request) }];
    });
    this.#deadEnd = { state, explained: this.#takenCount, transitions: this.#path(), stuck };
  }

  #farthest(): DeadEnd {
    return this.#deadEnd ?? { state: this.#input.initial, explained: 0, transitions: [], stuck: [] };
  }

  #path(): Transition[] {
    return this.#frames.flatMap(({ choices, next }) => {
      const choice = next > 0 ? choices[next - 1] : undefined;
      return choice === undefined ? [] : [choice.transition];
    });
  }
}

/** The store's revision right after the operation, for answers that tell it. */
function exactRevision(operation: Operation | undefined): number | undefined {
  if (operation?.outcome.kind !== "ok") return undefined;
  const { response } = operation.outcome;
  return isKvAnswer(response) ? response.revision : undefined;
}

function couldLeave(state: State, operation: Operation): boolean {
  const revision = exactRevision(operation);
  return revision === undefined || revision === state.revision;
}

function explains({ expected, state }: Applied, before: State, outcome: Outcome): boolean {
  if (outcome.kind === "unknown") return false;
  if (outcome.kind === "refused") return expected.kind === "refused" && expected.reasons.has(outcome.reason);
  const { response } = outcome;
  // Headers of compactions and of lease calls are of about that time: only their going back would be wrong.
  const isExact = isKvAnswer(response) || (response.kind === "leaseRevoke" && state.revision > before.revision);
  if (isExact && response.revision !== state.revision) return false;
  return matches(expected, response, { before: before.revision, after: state.revision });
}

function isKvAnswer({ kind }: Response): boolean {
  return kind === "range" || kind === "put" || kind === "delete" || kind === "txn";
}
