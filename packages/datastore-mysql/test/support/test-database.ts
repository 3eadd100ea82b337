import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { openStore, type Driver, type OpenStore } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { collectLog, MariaDbServer } from "@k3s/testkit";
import { execa } from "execa";
import { createConnection, type Connection } from "mysql2/promise";
import { openMysqlDriver, type MysqlDriverOptions } from "../../src/open-mysql-driver.ts";

/** What the server of a file is started with. */
interface ServerOptions {
  /** More options of the server. */
  readonly args?: (folder: string) => readonly string[] | Promise<readonly string[]>;
  /** Default: true. */
  readonly hasTls?: boolean;
}

/** A MariaDB, or a MySQL, for all tests of a file, made before the first and gone after the last. */
export class TestDatabase {
  /** A 64-bit number as {@link sql} shows it. */
  readonly asRead = Number;
  #server: MariaDbServer | undefined;
  #names = 0;

  static forFile({ args = () => [], ...rest }: ServerOptions = {}): TestDatabase {
    const database = new TestDatabase();
    const undo = new AsyncDisposableStack();
    before(async () => {
      const folder = await makeFolder(undo);
      database.#server = undo.use(await MariaDbServer.start({ folder, args: await args(folder), ...rest }));
    });
    after(() => undo.disposeAsync());
    return database;
  }

  /** A database whose tables are on a file system of their own, until the test ends. The server's own files are not: it could not go on. */
  async onSmallDisk(t: TestContext, size: string): Promise<{ readonly name: string; readonly folder: string }> {
    const name = this.newName();
    const folder = join(this.server.dataDir, name);
    await this.sql(t, name);
    await execa("mount", ["-t", "tmpfs", "-o", `size=${size}`, "k3s-test", folder]);
    t.after(async () => {
      await this.server.stop();
      await execa("umount", [folder]);
    });
    return { name, folder };
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

  /** Opens a store with kine's health key on the named database. */
  async store(t: TestContext, name: string, log: Logger = collectLog().log): Promise<OpenStore> {
    const driver = await openMysqlDriver({ dsn: this.dsn(name), log, signal: AbortSignal.timeout(30_000) });
    const store = await openStore(driver, { log, healthKey: true });
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

/** Statements that make an account, which may be there from another test; what is behind its name is its identification. */
export function createUser(account: string, rest = ""): readonly string[] {
  return [`DROP USER IF EXISTS ${account}`, `CREATE USER ${account} ${rest}`];
}

async function makeFolder(undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-mariadb-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
