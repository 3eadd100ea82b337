/** Numbers that follow from a seed alone (Bob Jenkins' small fast generator). */
export class Random {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    this.#state = Uint32Array.of(0xf1ea5eed, seed, seed, seed);
    for (let round = 0; round < 20; round++) this.#step();
  }

  /** A generator of its own for one part of a run: what other parts draw has no influence on it. */
  fork(part: number): Random {
    return new Random((this.#step() ^ Math.imul(part + 1, 0x9e3779b1)) >>> 0);
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor((this.#step() / 2 ** 32) * limit);
  }

  chance(probability: number): boolean {
    return this.#step() / 2 ** 32 < probability;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  /** A choice by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      if (left < weight) return choice;
      left -= weight;
    }
    throw new Error("Cannot choose: all weights are 0");
  }

  shuffled<T>(list: readonly T[]): T[] {
    const rest = [...list];
    return list.flatMap(() => rest.splice(this.below(rest.length), 1));
  }

  #step(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#state;
    const e = (a - ((b << 27) | (b >>> 5))) >>> 0;
    this.#state.set([b ^ ((c << 17) | (c >>> 15)), c + d, d + e, e + a]);
    return (e + a) >>> 0;
  }
}
