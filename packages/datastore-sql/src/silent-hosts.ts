/** For so long a host that did not answer is tried behind the others: each attempt waits out its limit, of five seconds by default. */
const TRUSTED_LESS_MS = 30_000;

interface SilentHostsParts<Target> {
  /** The same for all ways to one host. */
  readonly nameOf: (target: Target) => string;
  /** In ms. Default: the monotonic clock. */
  readonly now?: () => number;
}

/** Hosts that took a connection and said nothing, or did not even take it. */
export class SilentHosts<Target> {
  readonly #nameOf: (target: Target) => string;
  readonly #now: () => number;
  readonly #since = new Map<string, number>();

  constructor({ nameOf, now = () => performance.now() }: SilentHostsParts<Target>) {
    this.#nameOf = nameOf;
    this.#now = now;
  }

  note(target: Target): void {
    this.#since.set(this.#nameOf(target), this.#now());
  }

  /** Those that were silent of late behind the others. */
  sort(targets: readonly Target[]): readonly Target[] {
    const now = this.#now();
    const isLate = (target: Target) => now - this.#sinceOf(target) < TRUSTED_LESS_MS;
    return [...targets.filter((target) => !isLate(target)), ...targets.filter(isLate)];
  }

  /** As {@link sort}, each not sooner than it is needed: other ways to a host that turns out to be silent meanwhile are left out. */
  *inOrder(targets: readonly Target[]): Iterable<Target> {
    const startedAt = this.#now();
    for (const target of this.sort(targets)) if (this.#sinceOf(target) <= startedAt) yield target;
  }

  #sinceOf(target: Target): number {
    return this.#since.get(this.#nameOf(target)) ?? Number.NEGATIVE_INFINITY;
  }
}
