import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";
import { openMariaDb, openPostgres, openSqlite, type SqlSession } from "./databases-sql.ts";

/** A real database that our servers can keep their data in. */
export interface Database {
  readonly name: string;
  /** Where a server keeps the data called `data`; made when missing. */
  endpoint(data: string): string;
  /** A session on that data beside the servers. Only where {@link isSql}. */
  sql(data: string): Promise<SqlSession>;
  readonly isSql: boolean;
}

/** A database that is a process of its own. */
export interface DatabaseServer extends Database {
  stop(): Promise<void>;
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Nothing answers any more, but connections stay. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** What to start a database with, kind by kind. */
export interface StartOptions {
  /** More arguments of mariadbd. */
  readonly mariaDb?: readonly string[];
  /** More settings of PostgreSQL. */
  readonly postgres?: readonly string[];
  /** How PostgreSQL orders text; default: by bytes. */
  readonly postgresLocale?: string;
  /** More configuration of nats-server. */
  readonly nats?: string;
}

type Start<T> = (folder: string, undo: AsyncDisposableStack, options: StartOptions) => Promise<T>;

function noSql(): Promise<never> {
  return Promise.reject(new Error("Cannot send SQL: NATS has none"));
}

const startSqlite: Start<Database> = (folder) => {
  const path = (data: string) => join(folder, `${data}.db`);
  return Promise.resolve({
    name: "SQLite",
    isSql: true,
    endpoint: (data) => `sqlite://${path(data)}`,
    sql: (data) => Promise.resolve(openSqlite(path(data))),
  });
};

const startMariaDb: Start<DatabaseServer> = async (folder, undo, { mariaDb = [] }) => {
  const server = undo.use(await MariaDbServer.start({ folder, args: mariaDb }));
  return {
    name: "MariaDB",
    isSql: true,
    endpoint: (data) => `mysql://root@tcp(127.0.0.1:${server.port})/${data}`,
    sql: (data) => openMariaDb(server.socketPath, data),
    stop: () => server.stop(),
    kill: () => server.kill(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => {
      server.thaw();
      return Promise.resolve();
    },
  };
};

const startPostgres: Start<DatabaseServer> = async (folder, undo, { postgres = [], postgresLocale }) => {
  const locale = postgresLocale === undefined ? {} : { icuLocale: postgresLocale };
  const server = undo.use(await PostgresServer.start({ folder, settings: postgres, ...locale }));
  return {
    name: "PostgreSQL",
    isSql: true,
    endpoint: (data) => `postgres://postgres@127.0.0.1:${server.port}/${data}`,
    sql: (data) => openPostgres(server.port, data),
    stop: () => server.stop(),
    kill: () => server.kill(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
  };
};

const startNats: Start<DatabaseServer> = async (folder, undo, { nats = "" }) => {
  const server = await NatsServer.start(folder, { config: nats });
  undo.defer(() => server.stop());
  return {
    name: "NATS",
    isSql: false,
    endpoint: (data) => `nats://${server.endpoint}?bucket=${data}&revHistory=20`,
    sql: noSql,
    stop: () => server.stop(),
    kill: () => server.kill(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => {
      server.thaw();
      return Promise.resolve();
    },
  };
};

const starts = { SQLite: startSqlite, MariaDB: startMariaDb, PostgreSQL: startPostgres, NATS: startNats } as const;

/** Name of a kind of database. */
export type DatabaseName = keyof typeof starts;
type Started<Name extends DatabaseName> = Awaited<ReturnType<(typeof starts)[Name]>>;

/** All kinds. */
export const DATABASES = ["SQLite", "MariaDB", "PostgreSQL", "NATS"] as const;
/** Those with kine's table. */
export const SQL_DATABASES = ["SQLite", "MariaDB", "PostgreSQL"] as const;
/** Those that are servers, and can be shared. */
export const DATABASE_SERVERS = ["MariaDB", "PostgreSQL", "NATS"] as const;

/** Starts one of each name before the first test of a file, all gone after the last. The answer looks one up while tests run. */
export function databasesForFile<Name extends DatabaseName>(
  names: readonly Name[],
  options: (folder: string) => Promise<StartOptions> = () => Promise.resolve({}),
): (name: Name) => Started<Name> {
  const started = new Map<Name, Started<Name>>();
  const undo = new AsyncDisposableStack();
  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "k3s-databases-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const chosen = await options(folder);
    for (const name of names) {
      const own = await mkdtemp(join(folder, `${name}-`));
      started.set(name, (await starts[name](own, undo, chosen)) as Started<Name>); // sound: looked up by the same name
    }
  });
  after(() => undo.disposeAsync());
  return (name) => {
    const database = started.get(name);
    if (database === undefined) throw new Error(`Cannot use ${name}: it is not there yet`);
    return database;
  };
}
