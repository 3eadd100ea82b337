import { DriverError, type DatabaseReader, type DatabaseSize, type RowHead, type SideState } from "@k3s/datastore";
import type { Dialect, SqlSession } from "./dialect.ts";
import { limited, TookTooLong } from "./limited.ts";

/** As for the reads of a server: large tables are read in pages, which take far less. */
const READ_LIMIT_MS = 30_000;
/** A table without its index has to be sorted. */
const FINDINGS_LIMIT_MS = 600_000;

interface SnapshotReaderParts<Session extends SqlSession> {
  /** In a read-only transaction that sees one moment. The reader ends it. */
  readonly session: Session;
  readonly queries: Pick<Dialect<Session>, "product" | "heads" | "side" | "values" | "size">;
  readonly findings: (session: Session) => Promise<readonly string[]>;
}

/**
 * Kine's table as it was at one moment, over one session. Ids that others took and did not use yet are left as they are: in one moment
 * no row can follow a row that is not there.
 */
export class SnapshotReader<Session extends SqlSession> implements DatabaseReader {
  readonly #parts: SnapshotReaderParts<Session>;

  constructor(parts: SnapshotReaderParts<Session>) {
    this.#parts = parts;
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    const { queries } = this.#parts;
    return this.#read("Reading rows", (session) => queries.heads(session, { after, limit }));
  }

  side(): Promise<SideState> {
    return this.#read("Reading leases", (session) => this.#parts.queries.side(session));
  }

  async values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    if (rows.length === 0) return [];
    const found = await this.#read("Reading values", (session) => this.#parts.queries.values(session, rows));
    return rows.map((row) => found.get(row));
  }

  size(): Promise<DatabaseSize> {
    return this.#read("Reading the size", (session) => this.#parts.queries.size(session));
  }

  findings(): Promise<readonly string[]> {
    return this.#read("Looking for what is wrong", (session) => this.#parts.findings(session), FINDINGS_LIMIT_MS);
  }

  async close(): Promise<void> {
    await this.#parts.session.end();
  }

  async #read<T>(what: string, task: (session: Session) => Promise<T>, ms = READ_LIMIT_MS): Promise<T> {
    const { session, queries } = this.#parts;
    try {
      return await limited(session, { what, ms }, task);
    } catch (error) {
      if (error instanceof DriverError) throw error;
      const state = error instanceof TookTooLong ? "did not answer in time" : "refused it";
      throw new DriverError("failed", `Cannot read the table: ${queries.product} ${state}`, { cause: error });
    }
  }
}
