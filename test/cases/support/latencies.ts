/** How long many things took, for people to read: a busy machine may take longer, so no test depends on it. */
export class Latencies {
  readonly #ms: number[] = [];

  get count(): number {
    return this.#ms.length;
  }

  get maxMs(): number {
    return Math.max(0, ...this.#ms);
  }

  add(ms: number): void {
    this.#ms.push(ms);
  }

  /** Runs a task and notes how long it took. */
  async measure<T>(task: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const result = await task();
    this.add(performance.now() - startedAt);
    return result;
  }

  /** Median, 99th percentile and maximum. */
  summary(): string {
    const sorted = this.#ms.toSorted((a, b) => a - b);
    const at = (part: number) =>
      (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(1);
    return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms of ${sorted.length}`;
  }
}
