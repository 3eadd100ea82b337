import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { openStore, type Driver, type OpenStore } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { collectLog, PostgresServer, type PostgresOptions } from "@k3s/testkit";
import { Client } from "pg";
import { openPostgresDriver, type PostgresDriverOptions } from "../../src/open-postgres-driver.ts";

/** A PostgreSQL for all tests of a file, made before the first and gone after the last. */
export class TestDatabase {
  /** A 64-bit number as {@link sql} shows it. */
  readonly asRead = String;
  #server: PostgresServer | undefined;
  #names = 0;

  /** Settings as `name=value`. */
  static forFile(
    settings: (folder: string) => readonly string[] | Promise<readonly string[]> = () => [],
    more: Pick<PostgresOptions, "icuLocale"> = {},
  ): TestDatabase {
    const database = new TestDatabase();
    const undo = new AsyncDisposableStack();
    before(async () => {
      const folder = await mkdtemp(join(tmpdir(), "k3s-postgres-"));
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      database.#server = undo.use(await PostgresServer.start({ ...more, folder, settings: await settings(folder) }));
    });
    after(() => undo.disposeAsync());
    return database;
  }

  get server(): PostgresServer {
    if (this.#server === undefined) throw new Error("The database is not there yet");
    return this.#server;
  }

  /** Name of a database that does not exist. */
  newName(): string {
    return `test${++this.#names}`;
  }

  dsn(name: string, user = "postgres", parameters = ""): string {
    return `postgres://${user}@127.0.0.1:${this.server.port}/${name}${parameters}`;
  }

  /** Opens a driver that the test closes; without a `dsn`, on a new database. */
  async open(t: TestContext, options: Partial<PostgresDriverOptions> = {}): Promise<Driver> {
    const driver = await openPostgresDriver({
      dsn: this.dsn(this.newName()),
      env: {},
      log: collectLog().log,
      signal: AbortSignal.timeout(30_000),
      ...options,
    });
    t.after(() => driver.close());
    return driver;
  }

  /** Opens a store with kine's health key on the named database. */
  async store(t: TestContext, name: string, log: Logger = collectLog().log): Promise<OpenStore> {
    const signal = AbortSignal.timeout(30_000);
    const driver = await openPostgresDriver({ dsn: this.dsn(name), env: {}, log, signal });
    const store = await openStore(driver, { log, healthKey: true });
    t.after(() => store.close());
    return store;
  }

  /** A connection of the test's own. */
  async connect(t: TestContext, name = "postgres"): Promise<Client> {
    const client = new Client({ host: "127.0.0.1", port: this.server.port, user: "postgres", database: name });
    client.on("error", () => undefined); // a server that is stopped ends it
    await client.connect();
    t.after(() => client.end().catch(() => undefined));
    return client;
  }

  /** Makes a database unless it is there, and runs statements in it; answers with the rows of the last, bytes and large numbers as text. */
  async sql(t: TestContext, name: string, ...statements: readonly string[]): Promise<unknown[][]> {
    const admin = await this.connect(t);
    const { rowCount } = await admin.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]);
    if (rowCount === 0) await admin.query(`CREATE DATABASE "${name}"`);
    const client = await this.connect(t, name);
    let rows: unknown[][] = [];
    for (const text of statements) rows = (await client.query<unknown[]>({ text, rowMode: "array" })).rows;
    await client.end();
    return rows.map((row) => row.map((value) => (Buffer.isBuffer(value) ? value.toString("latin1") : value)));
  }
}
