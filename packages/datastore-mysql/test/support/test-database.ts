import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import type { Driver } from "@k3s/datastore";
import { createLogger, type Logger } from "@k3s/log";
import { MariaDbServer } from "@k3s/testkit";
import { openMysqlDriver, type MysqlDriverOptions } from "../../src/index.ts";

/** A MariaDB for all tests of a file, made before the first and gone after the last. */
export class TestDatabase {
  #server: MariaDbServer | undefined;
  #databases = 0;

  /** `args` go to mariadbd. */
  static forFile(args: readonly string[] = []): TestDatabase {
    const database = new TestDatabase();
    let folder: string | undefined;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "k3s-mariadb-"));
      database.#server = await MariaDbServer.start({ folder, args });
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

  /** A DSN that names a database which does not exist. */
  newDsn(): string {
    return `root@unix(${this.server.socketPath})/test${++this.#databases}`;
  }

  /** Opens a driver that the test closes. */
  async open(t: TestContext, options: Partial<MysqlDriverOptions> = {}): Promise<Driver> {
    const driver = await openMysqlDriver({
      dsn: this.newDsn(),
      log: collectLog().log,
      signal: AbortSignal.timeout(30_000),
      ...options,
    });
    t.after(() => driver.close());
    return driver;
  }
}

/** A logger that keeps its lines. */
export function collectLog(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "info", format: "json", write: (line) => lines.push(line) }), lines };
}
