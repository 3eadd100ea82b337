/** Who waits for room on the channel, first come first served, so that no stream starves another. */
export class Turns {
  readonly #isCongested: () => boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(isCongested: () => boolean) {
    this.#isCongested = isCongested;
  }

  /** Whether one who comes now has to {@link wait}. */
  get mustWait(): boolean {
    return this.#waiting.length > 0 || this.#isCongested();
  }

  wait(take: () => void): void {
    this.#waiting.push(take);
  }

  /** To be called when there is room. Who asks again in its turn goes to the end. */
  serve(): void {
    while (this.#waiting.length > 0 && !this.#isCongested()) this.#waiting.shift()?.();
  }
}
