import { repeat } from "@k3s/async";
import type { LongestBlock } from "./target.ts";

const TICK_MS = 5;
const NONE: LongestBlock = { ms: 0, processorMs: 0 };

/** Measures how long the thread that made it does nothing else, by a timer that should tick all the time. */
export class BlockMeter {
  readonly #stop = new AbortController();
  #last = now();
  #longest = NONE;

  constructor() {
    void repeat(TICK_MS, () => this.#tick(), this.#stop.signal);
  }

  /** The longest ones since the last call, which need not be of the same turn. */
  take(): LongestBlock {
    const longest = this.#longest;
    this.#longest = NONE;
    return longest;
  }

  stop(): void {
    this.#stop.abort();
  }

  #tick(): void {
    const at = now();
    this.#longest = {
      ms: Math.max(this.#longest.ms, at.ms - this.#last.ms - TICK_MS),
      processorMs: Math.max(this.#longest.processorMs, at.processorMs - this.#last.processorMs),
    };
    this.#last = at;
  }
}

function now(): LongestBlock {
  const { user, system } = process.threadCpuUsage();
  return { ms: performance.now(), processorMs: (user + system) / 1000 };
}
