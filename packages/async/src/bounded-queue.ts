/** A producer outran its consumer: what to do (drop, block, close) is the producer's decision. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError";
}

/** First in, first out, with a limit. One consumer iterates; it ends after `close()` once everything was taken. */
export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #limit: number;
  readonly #items: T[] = [];
  #closed = false;
  #wake = Promise.withResolvers<void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.length;
  }

  /** Throws QueueFullError at the limit; items pushed after `close()` are dropped. */
  push(item: T): void {
    if (this.#closed) return;
    if (this.#items.length >= this.#limit) throw new QueueFullError(`Cannot queue more than ${this.#limit} items`);
    this.#items.push(item);
    this.#signal();
  }

  close(): void {
    this.#closed = true;
    this.#signal();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) yield item;
      else if (this.#closed) return;
      else await this.#wake.promise;
    }
  }

  #signal(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers<void>();
    resolve();
  }
}
