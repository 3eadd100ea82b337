import type { TestContext } from "node:test";
import type { DatabaseReader, Driver, OpenStore } from "@k3s/datastore";
import type { Logger } from "@k3s/log";

/** A connection of the test's own. */
interface SqlConnection {
  query(statement: string): Promise<unknown>;
}

/** Its program can be ended and begun again, with the same data and port. */
interface SqlServer {
  readonly port: number;
  restart(): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): void;
}

interface DriverChoice {
  readonly dsn: string;
  readonly log?: Logger;
}

/** A SQL server, as the tests that hold for every one of them see it. What they open ends with the test. */
export interface SqlTestDatabase {
  readonly server: SqlServer;
  /** A 64-bit number as {@link sql} shows it. */
  readonly asRead: (value: number) => unknown;
  /** Name of a database that does not exist. */
  newName(): string;
  dsn(name: string): string;
  open(t: TestContext, options: DriverChoice): Promise<Driver>;
  /** Opens a store with kine's health key on the named database. */
  store(t: TestContext, name: string, log?: Logger): Promise<OpenStore>;
  connect(t: TestContext, name?: string): Promise<SqlConnection>;
  /** Makes a database unless it is there, and runs statements in it; answers with the rows of the last. */
  sql(t: TestContext, name: string, ...statements: readonly string[]): Promise<unknown[][]>;
}

interface ReaderChoice {
  readonly dsn: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Opens what reads a database and changes nothing. */
export type OpenReader = (choice: ReaderChoice) => Promise<DatabaseReader>;
