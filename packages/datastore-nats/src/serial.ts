/** Tasks one after the other, in the order asked. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  /** Settles as `task` does. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when all tasks are over that were asked before. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
