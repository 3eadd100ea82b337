import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { openStore, type Driver, type OpenStore } from "@k3s/datastore";
import { createLogger, type Logger } from "@k3s/log";
import { MariaDbServer } from "@k3s/testkit";
import { createConnection, type Connection } from "mysql2/promise";
import { openMysqlDriver, type MysqlDriverOptions } from "../../src/index.ts";

/** A MariaDB for all tests of a file, made before the first and gone after the last. */
export class TestDatabase {
  #server: MariaDbServer | undefined;
  #names = 0;

  /** `args` go to mariadbd. */
  static forFile(args: (folder: string) => readonly string[] | Promise<readonly string[]> = () => []): TestDatabase {
    const database = new TestDatabase();
    let folder: string | undefined;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "k3s-mariadb-"));
      database.#server = await MariaDbServer.start({ folder, args: await args(folder) });
    });
    after(async () => {
      await database.#server?.stop();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });
    return database;
  }

  get server(): MariaDbServer {
    if (this.#server === undefined) throw new Error("The database is not there yet");
    return this.#server;
  }

  /** Name of a database that does not exist. */
  newName(): string {
    return `test${++this.#names}`;
  }

  dsn(name: string, user = "root"): string {
    return `${user}@unix(${this.server.socketPath})/${name}`;
  }

  /** Opens a driver that the test closes; without a `dsn`, on a new database. */
  async open(t: TestContext, options: Partial<MysqlDriverOptions> = {}): Promise<Driver> {
    const driver = await openMysqlDriver({
      dsn: this.dsn(this.newName()),
      log: collectLog().log,
      signal: AbortSignal.timeout(30_000),
      ...options,
    });
    t.after(() => driver.close());
    return driver;
  }

  /** Opens a store on the named database. */
  async store(t: TestContext, name: string, log: Logger = collectLog().log): Promise<OpenStore> {
    const driver = await openMysqlDriver({ dsn: this.dsn(name), log, signal: AbortSignal.timeout(30_000) });
    const store = await openStore(driver, { log });
    t.after(() => store.close());
    return store;
  }

  /** A connection of the test's own, with the settings that kine's would have. */
  async connect(t: TestContext, name?: string): Promise<Connection> {
    const connection = await createConnection({
      socketPath: this.server.socketPath,
      user: "root",
      multipleStatements: true,
      rowsAsArray: true,
      ...(name !== undefined && { database: name }),
    });
    connection.on("error", () => undefined); // a server that is stopped ends it
    t.after(() => connection.end().catch(() => connection.destroy()));
    return connection;
  }

  /** Makes a database and runs statements in it; answers with the rows of the last. */
  async sql(t: TestContext, name: string, ...statements: readonly string[]): Promise<unknown[][]> {
    const connection = await this.connect(t);
    await connection.query(`CREATE DATABASE IF NOT EXISTS ${name}; USE ${name}`);
    let rows: unknown[][] = [];
    for (const statement of statements) {
      const [result] = await connection.query(statement);
      if (Array.isArray(result)) rows = result as unknown[][];
    }
    return rows.map((row) => row.map((value) => (Buffer.isBuffer(value) ? value.toString("latin1") : value)));
  }
}

/** A logger that keeps its lines. */
export function collectLog(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "info", format: "json", write: (line) => lines.push(line) }), lines };
}
