import {
  rowCount,
  type Changes,
  type Claim,
  type ClaimScope,
  type CommitBatch,
  type CommitHints,
  type DatabaseSize,
  type DatabaseSnapshot,
  type Driver,
  type DriverTraits,
  type ForeignRows,
  type Guests,
  type LeaseRecord,
  type Position,
  type Pruning,
  type RowHead,
  type RowRefusal,
  type SharedDatabase,
  type SideState,
} from "@k3s/datastore";
import type { DatastoreMetrics } from "./datastore-metrics.ts";
import type { SlowStatements } from "./slow-statements.ts";
import type { StatementName } from "./statement-guide.ts";

export interface MeasuredParts {
  readonly metrics: DatastoreMetrics;
  readonly slow: SlowStatements;
}

interface Statement {
  readonly name: StatementName;
  readonly rows?: number;
}

/** The same driver, with every statement timed, counted, and told of when it is slow. */
export function measured(driver: Driver, parts: MeasuredParts): Driver {
  const clock = new Clock(parts);
  const own = new MeasuredDriver(driver, clock, parts.metrics);
  const { shared, guests } = driver;
  return Object.assign(own, {
    ...(shared !== undefined && { shared: new MeasuredShared(shared, clock) }),
    ...(guests !== undefined && { guests: new MeasuredGuests(guests, clock) }),
  });
}

class Clock {
  readonly #parts: MeasuredParts;

  constructor(parts: MeasuredParts) {
    this.#parts = parts;
  }

  async time<T>({ name, rows }: Statement, run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    let failure: { readonly error: unknown } | undefined;
    try {
      return await run();
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      const durationMs = performance.now() - startedAt;
      const { metrics, slow } = this.#parts;
      metrics.measure({ statement: name, seconds: durationMs / 1000, error: failure?.error });
      // One that failed says so elsewhere, and how long it took was ours to decide.
      const severity = failure === undefined ? slow.note({ statement: name, durationMs, rows }) : undefined;
      if (severity !== undefined) metrics.countSlow(name, severity);
    }
  }
}

class MeasuredDriver implements Driver {
  readonly #driver: Driver;
  readonly #clock: Clock;
  readonly #metrics: DatastoreMetrics;

  constructor(driver: Driver, clock: Clock, metrics: DatastoreMetrics) {
    this.#driver = driver;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  get traits(): DriverTraits {
    return this.#driver.traits;
  }

  refusal(name: string, valueBytes: number): RowRefusal | undefined {
    return this.#driver.refusal?.(name, valueBytes);
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return this.#clock.time({ name: "heads", rows: limit }, () => this.#driver.heads(after, limit));
  }

  side(): Promise<SideState> {
    return this.#clock.time({ name: "side" }, () => this.#driver.side());
  }

  values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    return this.#clock.time({ name: "values", rows: rows.length }, () => this.#driver.values(rows));
  }

  async commit(batch: CommitBatch): Promise<void> {
    // Taken before: a driver may hand the rows over to a worker.
    const facts = { rows: rowCount(batch), isCompaction: batch.compactRevision !== undefined };
    try {
      await this.#clock.time({ name: "commit", rows: facts.rows }, () => this.#driver.commit(batch));
    } catch (error) {
      this.#metrics.countCommit(facts, error);
      throw error;
    }
    this.#metrics.countCommit(facts, undefined);
  }

  async readyToPrune(): Promise<void> {
    await this.#driver.readyToPrune?.();
  }

  prune(pruning: Pruning): Promise<void> {
    return this.#clock.time({ name: "prune", rows: pruning.rows.length }, () => this.#driver.prune(pruning));
  }

  size(): Promise<DatabaseSize> {
    return this.#clock.time({ name: "size" }, () => this.#driver.size());
  }

  defragment(): Promise<void> {
    return this.#clock.time({ name: "defragment" }, () => this.#driver.defragment());
  }

  async snapshot(): Promise<DatabaseSnapshot | undefined> {
    if (this.#driver.snapshot === undefined) return undefined;
    return this.#clock.time({ name: "snapshot" }, async () => this.#driver.snapshot?.());
  }

  close(): Promise<void> {
    return this.#driver.close();
  }
}

class MeasuredRows implements ForeignRows {
  readonly #rows: ForeignRows;
  readonly #clock: Clock;

  constructor(rows: ForeignRows, clock: Clock) {
    this.#rows = rows;
    this.#clock = clock;
  }

  position(): Promise<Position> {
    return this.#clock.time({ name: "position" }, () => this.#rows.position());
  }

  changes(after: number, limit: number): Promise<Changes> {
    return this.#clock.time({ name: "changes" }, () => this.#rows.changes(after, limit));
  }

  onChange(listener: () => void): void {
    this.#rows.onChange(listener);
  }
}

class MeasuredGuests extends MeasuredRows implements Guests {
  readonly #guests: Guests;

  constructor(guests: Guests, clock: Clock) {
    super(guests, clock);
    this.#guests = guests;
  }

  areThere(): boolean {
    return this.#guests.areThere();
  }

  compare(shown: () => Position): void {
    this.#guests.compare(shown);
  }
}

class MeasuredShared extends MeasuredRows implements SharedDatabase {
  readonly #shared: SharedDatabase;
  readonly #clock: Clock;

  constructor(shared: SharedDatabase, clock: Clock) {
    super(shared, clock);
    this.#shared = shared;
    this.#clock = clock;
  }

  leases(): Promise<readonly LeaseRecord[]> {
    return this.#clock.time({ name: "leases" }, () => this.#shared.leases());
  }

  clockMs(): Promise<number> {
    return this.#clock.time({ name: "clock" }, () => this.#shared.clockMs());
  }

  claim(scope: ClaimScope): Promise<Claim> {
    return this.#clock.time({ name: "claim" }, () => this.#shared.claim(scope));
  }

  get hints(): CommitHints | undefined {
    return this.#shared.hints;
  }
}
