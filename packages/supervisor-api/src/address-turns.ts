import { sleep } from "@k3s/async";
import { sourceOf } from "./source-of.ts";

/** How many at a time, how many of one address, and how many may wait for how long. */
export interface TurnLimits {
  readonly placesMax: number;
  readonly placesEachMax: number;
  readonly waitingMax: number;
  readonly waitMs: number;
}

/** Called once with the way to leave, or with undefined for who is turned away. */
type Answer = (leave: (() => void) | undefined) => void;

interface Source {
  readonly name: string;
  taken: number;
  readonly waiting: Answer[];
}

/**
 * Places for whoever comes, in turn by where they come from: many from one address keep nobody waiting who comes from another.
 * Where too many wait, the latest one of the address that has most of them is turned away.
 */
export class AddressTurns {
  readonly #limits: TurnLimits;
  /** Those with somebody waiting or at work; whose turn was longest ago comes first. */
  readonly #sources = new Map<string, Source>();
  #taken = 0;
  #waiting = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** Resolves with what gives the place back, or with undefined: too many wait already, or nobody leaves for too long. */
  enter(remoteAddress: string): Promise<(() => void) | undefined> {
    const { promise, resolve } = Promise.withResolvers<(() => void) | undefined>();
    const name = sourceOf(remoteAddress);
    const source = this.#sources.get(name) ?? { name, taken: 0, waiting: [] };
    this.#sources.set(name, source);
    const answered = new AbortController();
    const answer: Answer = (leave) => {
      answered.abort();
      this.#waiting -= 1;
      resolve(leave);
    };
    source.waiting.push(answer);
    this.#waiting += 1;
    const turnAway = () => this.#turnAway(source, answer);
    sleep(this.#limits.waitMs, answered.signal).then(turnAway, () => undefined);
    this.#admit();
    if (this.#waiting > this.#limits.waitingMax) this.#turnAwayOneOfMany();
    return promise;
  }

  #admit(): void {
    while (this.#taken < this.#limits.placesMax) {
      const source = this.#next();
      const answer = source?.waiting.shift();
      if (source === undefined || answer === undefined) return;
      this.#sources.delete(source.name); // and behind the others
      this.#sources.set(source.name, source);
      source.taken += 1;
      this.#taken += 1;
      answer(() => this.#leave(source));
    }
  }

  /** Of those with somebody waiting the one that has fewest places, and of such the one whose turn was longest ago. */
  #next(): Source | undefined {
    let next: Source | undefined;
    for (const source of this.#sources.values())
      if (source.waiting.length > 0 && source.taken < (next?.taken ?? this.#limits.placesEachMax)) next = source;
    return next;
  }

  #leave(source: Source): void {
    source.taken -= 1;
    this.#taken -= 1;
    this.#forget(source);
    this.#admit();
  }

  /** Only who waits or is at work is remembered. */
  #forget({ name, taken, waiting }: Source): void {
    if (taken === 0 && waiting.length === 0) this.#sources.delete(name);
  }

  #turnAwayOneOfMany(): void {
    const [first, ...others] = this.#sources.values();
    if (first === undefined) return;
    const largest = others.reduce((most, one) => (one.waiting.length > most.waiting.length ? one : most), first);
    const latest = largest.waiting.at(-1);
    if (latest !== undefined) this.#turnAway(largest, latest);
  }

  #turnAway(source: Source, answer: Answer): void {
    source.waiting.splice(source.waiting.indexOf(answer), 1);
    this.#forget(source);
    answer(undefined);
  }
}
