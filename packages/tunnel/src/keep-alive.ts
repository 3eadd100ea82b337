import { repeat } from "@k3s/async";

export interface KeepAliveOptions {
  /** Undefined: the other side pings. */
  readonly ping?: () => void;
  readonly intervalMs: number;
  /** Silence that ends the session. */
  readonly deadAfterMs: number;
  readonly onDead: () => void;
  /** Silence after which the peer counts as silent, until it is heard again. */
  readonly silentAfterMs: number;
  readonly onSilence?: (isSilent: boolean) => void;
}

/** A tick that comes this much late says that this process stood still, and nothing about the peer. */
const LATE_FACTOR = 1.5;

/** Watches one session for signs of life, and gives some. */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #heardAt = performance.now();
  #isSilent = false;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
  }

  /** How long nothing has been heard of the peer. */
  get silenceMs(): number {
    return performance.now() - this.#heardAt;
  }

  /** To be called with whatever arrives. */
  heard(): void {
    this.#heardAt = performance.now();
    if (this.#isSilent) this.#setSilent(false);
  }

  /** Resolves when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, ping } = this.#options;
    let tickedAt = performance.now();
    ping?.();
    await repeat(
      intervalMs,
      () => {
        const wasAsleep = performance.now() - tickedAt > intervalMs * LATE_FACTOR;
        tickedAt = performance.now();
        ping?.();
        if (!wasAsleep) this.#judge();
      },
      signal,
    );
  }

  #judge(): void {
    const { deadAfterMs, silentAfterMs, onDead } = this.#options;
    if (this.silenceMs > deadAfterMs) onDead();
    else if (this.silenceMs > silentAfterMs && !this.#isSilent) this.#setSilent(true);
  }

  #setSilent(isSilent: boolean): void {
    this.#isSilent = isSilent;
    this.#options.onSilence?.(isSilent);
  }
}
