/** The newest value of something that changes, and a way to wait for the value you need. */
export class Latest<T> {
  #value: T;
  #changed = Promise.withResolvers<void>();

  constructor(value: T) {
    this.#value = value;
  }

  get(): T {
    return this.#value;
  }

  /** Sets the value and wakes everybody who waits in {@link until}. */
  set(value: T): void {
    const { resolve } = this.#changed;
    this.#value = value;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  /** Resolves with the first value, current or future, that `accept` accepts; rejects with the reason of `signal`. */
  async until(accept: (value: T) => boolean, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const stopped = Promise.withResolvers<never>();
    const onAbort = () => stopped.reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!accept(this.#value)) await Promise.race([this.#changed.promise, stopped.promise]);
      return this.#value;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
