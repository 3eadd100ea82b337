/** Why an open connection was closed while the driver lives: above the number that may idle, unused for long, or old. */
type ConnectionEnd = "spare" | "idle" | "old";

/** How the connections to a database are used; sums since the driver was opened. */
export interface ConnectionStats {
  /** How many there are at most. */
  readonly limit: number;
  readonly open: number;
  /** Of the open ones. */
  readonly inUse: number;
  /** Tasks that found their connection taken. */
  readonly waits: number;
  readonly waitSeconds: number;
  readonly closed: Readonly<Record<ConnectionEnd, number>>;
}

/** Counts what one connection does that runs its tasks one after the other, in the order they were asked. */
export class ConnectionUse {
  /** When the tasks were asked that wait for the running one, in ms. */
  readonly #waiting: number[] = [];
  readonly #closed: Record<ConnectionEnd, number> = { spare: 0, idle: 0, old: 0 };
  #isRunning = false;
  #isOpen = false;
  #waits = 0;
  #waitMs = 0;

  /** Tasks that run or wait. */
  get pending(): number {
    return this.#waiting.length + (this.#isRunning ? 1 : 0);
  }

  /** A task was asked for. */
  ask(): void {
    if (!this.#isRunning) {
      this.#isRunning = true;
      return;
    }
    this.#waits++;
    this.#waiting.push(performance.now());
  }

  /** The running task ended. The next one begins. */
  end(): void {
    const askedAt = this.#waiting.shift();
    if (askedAt === undefined) this.#isRunning = false;
    else this.#waitMs += performance.now() - askedAt;
  }

  opened(): void {
    this.#isOpen = true;
  }

  /** Without a reason: lost, or closed with the driver. */
  closed(reason?: ConnectionEnd): void {
    this.#isOpen = false;
    if (reason !== undefined) this.#closed[reason]++;
  }

  stats(): ConnectionStats {
    return {
      limit: 1,
      open: Number(this.#isOpen),
      inUse: Number(this.#isOpen && this.#isRunning),
      waits: this.#waits,
      waitSeconds: this.#waitMs / 1000,
      closed: { ...this.#closed },
    };
  }
}

/** What several connections come to together. */
export function sumConnections(parts: readonly ConnectionStats[]): ConnectionStats {
  const sum = (of: (part: ConnectionStats) => number) => parts.reduce((total, part) => total + of(part), 0);
  return {
    limit: sum(({ limit }) => limit),
    open: sum(({ open }) => open),
    inUse: sum(({ inUse }) => inUse),
    waits: sum(({ waits }) => waits),
    waitSeconds: sum(({ waitSeconds }) => waitSeconds),
    closed: {
      spare: sum(({ closed }) => closed.spare),
      idle: sum(({ closed }) => closed.idle),
      old: sum(({ closed }) => closed.old),
    },
  };
}
