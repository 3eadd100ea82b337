import { describeHost, type ConnectTarget } from "./connect-targets.ts";

/** For so long a host that did not answer is tried behind the others: each attempt waits out its limit. */
const TRUSTED_LESS_MS = 30_000;

/** Hosts that took a connection and said nothing, or did not even take it. Times are ms of a monotonic clock. */
export class SilentHosts {
  readonly #now: () => number;
  readonly #since = new Map<string, number>();

  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  note(target: ConnectTarget): void {
    this.#since.set(describeHost(target), this.#now());
  }

  /** Each target not sooner than it is needed, as one before it may turn out to be silent: another way to the same host is left out. */
  *inOrder(targets: readonly ConnectTarget[]): Iterable<ConnectTarget> {
    const startedAt = this.#now();
    const isLate = (target: ConnectTarget) => startedAt - this.#sinceOf(target) < TRUSTED_LESS_MS;
    const late = targets.filter(isLate);
    for (const target of [...targets.filter((target) => !late.includes(target)), ...late])
      if (this.#sinceOf(target) < startedAt) yield target;
  }

  #sinceOf(target: ConnectTarget): number {
    return this.#since.get(describeHost(target)) ?? Number.NEGATIVE_INFINITY;
  }
}
