import type {
  Changes,
  Claim,
  CommitBatch,
  ConnectionStats,
  DatabaseSize,
  Driver,
  LeaseRecord,
  Position,
  Pruning,
  RowHead,
  RowRefusal,
  SharedDatabase,
  SideState,
} from "@k3s/datastore";
import { DriverError, sumConnections, tableTraits } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { ChangeFeed } from "./change-feed.ts";
import { ClaimDesk } from "./claim-desk.ts";
import { WRITE_LIMIT_MS } from "./commit-limit.ts";
import { ConnectGate } from "./connect-gate.ts";
import type { Dialect, SqlSession } from "./dialect.ts";
import { Fence } from "./fence.ts";
import { Failures } from "./failures.ts";
import { Lane } from "./lane.ts";
import { limited } from "./limited.ts";
import { SettledReader } from "./settled-reader.ts";

/** Large tables are read in pages, which take far less. */
const READ_LIMIT_MS = 30_000;
/** Asked for each consistent read: as long as etcd's own reads wait. */
const POSITION_LIMIT_MS = 7000;
const DEFRAGMENT_LIMIT_MS = 600_000;
const READ_LANES = 3;
/** Deadlocks and the like: how often the same is tried. */
const ATTEMPTS = 4;

/** The limits kine's flags set on its connections, with its defaults. */
export interface PoolOptions {
  /** All connections of this driver, at least three; 0: no limit. Default 0, in which case it uses up to five. */
  readonly maxOpen?: number;
  /** Connections kept while nothing runs on them, apart from those for writing and listening. Default: all. */
  readonly maxIdle?: number;
  /** Default 0: for ever. */
  readonly lifetimeMs?: number;
  /** Default two minutes; 0: for ever. */
  readonly idleMs?: number;
}

export interface SqlDriverOptions<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly log: Logger;
  readonly pool?: PoolOptions;
  /** Longest time between two questions whether another program wrote. Default 50 ms, and 100 ms where the database pushes. */
  readonly pollMs?: number;
}

/** Kine's table in a database that others use as well. The tables must be there. */
export class SqlDriver<Session extends SqlSession> implements Driver {
  readonly traits = tableTraits;
  readonly shared: SharedDatabase;
  readonly #dialect: Dialect<Session>;
  readonly #log: Logger;
  readonly #failures: Failures;
  readonly #writer: Lane<Session>;
  readonly #readers: readonly Lane<Session>[];
  readonly #fence: Fence<Session>;
  readonly #desk: ClaimDesk<Session>;
  readonly #reader: SettledReader<Session>;
  readonly #feed: ChangeFeed<Session>;
  #closing: Promise<void> | undefined;

  constructor({ dialect, log, pool = {}, pollMs }: SqlDriverOptions<Session>) {
    const gate = new ConnectGate(dialect);
    const { maxOpen = 0, maxIdle = READ_LANES, lifetimeMs = 0, idleMs = 120_000 } = pool;
    const readers = maxOpen === 0 ? READ_LANES : Math.min(Math.max(maxOpen - 2, 1), READ_LANES);
    this.#dialect = dialect;
    this.#log = log;
    this.#failures = new Failures(dialect, log);
    this.#writer = new Lane({ gate, lifetimeMs, idleMs: 0 });
    this.#readers = Array.from(
      { length: readers },
      (_, i) => new Lane({ gate, lifetimeMs, idleMs, isSpare: i >= maxIdle }),
    );
    this.#fence = new Fence({ dialect, lane: this.#writer });
    this.#desk = new ClaimDesk({ dialect, fence: this.#fence, lane: this.#writer });
    const read = <T>(what: string, task: (session: Session) => Promise<T>) => this.#readRows({ what, task });
    this.#reader = new SettledReader({ dialect, read, isAlone: () => this.#desk.isAlone, log });
    this.#feed = new ChangeFeed({ dialect, gate, log, pollMs, position: () => this.#position() });
    this.shared = this.#share();
  }

  refusal(name: string): RowRefusal | undefined {
    const state = this.#dialect.refusal?.(name);
    return state === undefined ? undefined : { part: "name", state };
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return this.#reader.heads({ after, limit });
  }

  side(): Promise<SideState> {
    return this.#read({ what: "Reading leases", task: (session) => this.#dialect.side(session) });
  }

  async values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    if (rows.length === 0) return [];
    const task = (session: Session) => this.#dialect.values(session, rows);
    const found = await this.#readRows({ what: "Reading values", task });
    return rows.map((row) => found.get(row));
  }

  async commit(batch: CommitBatch): Promise<void> {
    const lastRow = batch.rows.at(-1)?.id ?? 0;
    const isDone = await this.#feed.carry(lastRow, () => this.#write(() => this.#desk.commit(batch)));
    if (!isDone)
      throw new DriverError("conflict", `Cannot commit: row ${batch.after} is not the last one, or a lease has ended`);
  }

  prune(pruning: Pruning): Promise<void> {
    const limit = { what: "A pruning", ms: WRITE_LIMIT_MS };
    return this.#write(() =>
      this.#writer.run((session) => limited(session, limit, () => this.#dialect.prune(session, pruning))),
    );
  }

  size(): Promise<DatabaseSize> {
    return this.#read({ what: "Reading the size", task: (session) => this.#dialect.size(session) });
  }

  connections(): ConnectionStats {
    return sumConnections([this.#writer, ...this.#readers, this.#feed].map((user) => user.stats()));
  }

  defragment(): Promise<void> {
    const task = (session: Session) => this.#dialect.defragment(session);
    return this.#read({ what: "Defragmenting", task, limitMs: DEFRAGMENT_LIMIT_MS });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#feed.stop();
    await Promise.all([this.#writer, ...this.#readers].map((lane) => lane.close()));
  }

  #share(): SharedDatabase {
    const changes = (after: number, limit: number): Promise<Changes> => this.#reader.changes({ after, limit });
    const leases = (): Promise<readonly LeaseRecord[]> =>
      this.#readRows({ what: "Reading leases", task: (session) => this.#dialect.leases(session) });
    return {
      position: () => this.#position(),
      changes,
      leases,
      clockMs: () => this.#readRows({ what: "Reading the clock", task: (session) => this.#dialect.clockMs(session) }),
      claim: (scope): Promise<Claim> => this.#write(() => this.#desk.claim(scope)),
      onChange: (listener) => this.#feed.start(listener),
      hints: this.#feed,
    };
  }

  #position(): Promise<Position> {
    const task = (session: Session) => this.#dialect.position(session);
    return this.#readRows({ what: "Reading the last row", task, limitMs: POSITION_LIMIT_MS });
  }

  /** In the transaction of a claim that keeps everybody back, if there is one: other sessions may have to wait for its end. */
  async #readRows<T>(request: ReadRequest<Session, T>): Promise<T> {
    const alone = this.#desk.askAlone(request.task)?.catch((error: unknown) => {
      this.#log.debug({ error, what: request.what }, "cannot read under a claim, which has ended with it");
      return this.#read(request);
    });
    return await (alone ?? this.#read(request));
  }

  /** A connection that died while nobody used it is no failure of the database: what only reads is asked again, once. */
  async #read<T>(request: ReadRequest<Session, T>): Promise<T> {
    const { what, task, limitMs: ms = READ_LIMIT_MS } = request;
    const lane = this.#readers.reduce((best, next) => (next.pending < best.pending ? next : best));
    const ask = () =>
      lane.run(async (session) => {
        const answer = await limited(session, { what, ms }, task).catch((error: unknown) => {
          if (session.lost.aborted) throw new LostOnTheWay(error);
          throw error;
        });
        this.#failures.worked("read");
        return answer;
      });
    const startedAt = performance.now();
    try {
      if (this.#fence.isDoubtful) await this.#fence.settle();
      return await ask().catch((error: unknown) => {
        if (error instanceof LostOnTheWay && performance.now() - startedAt < ms) return ask();
        throw error;
      });
    } catch (error) {
      throw this.#failures.toDriverError(error instanceof LostOnTheWay ? error.cause : error, "read");
    }
  }

  async #write<T>(task: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        if (this.#fence.isDoubtful) await this.#fence.settle();
        const answer = await task();
        this.#failures.worked("write");
        return answer;
      } catch (error) {
        if (attempt < ATTEMPTS && this.#failures.kindOf(error) === "retry") continue;
        throw this.#failures.toDriverError(error, "write");
      }
    }
  }
}

interface ReadRequest<Session, T> {
  readonly what: string;
  readonly task: (session: Session) => Promise<T>;
  readonly limitMs?: number;
}

/** The connection ended while something ran on it; the cause is the library's error. */
class LostOnTheWay extends Error {
  override readonly name = "LostOnTheWay";

  constructor(cause: unknown) {
    super("Cannot read: the connection was lost", { cause });
  }
}
