import { Latest } from "@k3s/async";
import type { Component } from "@k3s/lifecycle";

/** A point that one sequence of components reaches and another waits for, where both start at the same time. */
export class Milestone {
  readonly #reached = new Latest(false);
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /** The last member of the sequence that others wait for. */
  get reached(): Component {
    return {
      name: this.#name,
      start: () => this.#set(true),
      stop: () => this.#set(false),
    };
  }

  /** A member that starts once the milestone is reached. */
  get awaited(): Component {
    return {
      name: `after-${this.#name}`,
      start: async ({ signal }) => {
        await this.#reached.until((isReached) => isReached, signal);
      },
      stop: () => Promise.resolve(),
    };
  }

  #set(isReached: boolean): Promise<void> {
    this.#reached.set(isReached);
    return Promise.resolve();
  }
}
