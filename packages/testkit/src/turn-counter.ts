/** Counts what happens within one turn of the event loop, however long that takes on a busy machine. */
export class TurnCounter {
  #now = 0;
  #most = 0;
  #turns = 0;

  /** The most that was counted in one turn. */
  get most(): number {
    return this.#most;
  }

  /** The turns in which something was counted. */
  get turns(): number {
    return this.#turns;
  }

  add(): void {
    if (this.#now++ === 0) {
      this.#turns++;
      setImmediate(() => (this.#now = 0));
    }
    this.#most = Math.max(this.#most, this.#now);
  }
}
