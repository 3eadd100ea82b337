import type { Outbox } from "./outbox.ts";

/** The encoded events of a batch that comes in parts. Until it is complete they count as memory of the reader that it is for. */
export class EventParts implements Disposable {
  readonly #outbox: Pick<Outbox, "gather">;
  #events: Buffer[] = [];
  #memory = new DisposableStack();

  constructor(outbox: Pick<Outbox, "gather">) {
    this.#outbox = outbox;
  }

  /** Adds a part. Answers with the whole batch when that was the last one. */
  add(part: readonly Buffer[], isLast: boolean): readonly Buffer[] | undefined {
    for (const event of part) this.#events.push(event);
    if (!isLast) {
      this.#memory.use(this.#outbox.gather(part.reduce((sum, { length }) => sum + length, 0)));
      return undefined;
    }
    const whole = this.#events;
    this[Symbol.dispose]();
    return whole;
  }

  /** Drops what is not complete. */
  [Symbol.dispose](): void {
    this.#events = [];
    this.#memory.dispose();
    this.#memory = new DisposableStack();
  }
}
