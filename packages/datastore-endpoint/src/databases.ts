import type { DatabaseReader, Driver } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { DatastoreTls } from "./datastore-tls.ts";
import type { DatabaseKind } from "./endpoint.ts";

/** Limits of the connections to a database server, as kine names them. */
export interface DatabasePool {
  /** 0: no limit. */
  readonly maxOpen?: number;
  readonly maxIdle?: number;
  /** 0: for ever. */
  readonly lifetimeMs?: number;
  /** 0: for ever. */
  readonly idleMs?: number;
}

/** What a driver needs to open its database. */
export interface DatabaseOptions {
  /** What stands behind the scheme. */
  readonly address: string;
  readonly scheme: string;
  readonly tls: DatastoreTls;
  /** Environment variables; those of a database's own clients count. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pool?: DatabasePool | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** A driver as this package uses it. */
export interface Database {
  /** Throws NodeError when the address is malformed. Nothing is connected. */
  check(options: Pick<DatabaseOptions, "address" | "scheme" | "tls" | "env">): void;
  /** Rejects with NodeError when the database cannot be used. */
  open(options: DatabaseOptions): Promise<Driver>;
  /** As `open`, for reading alone: a database that is not there is an error, and nothing is made or changed. */
  inspect(options: Omit<DatabaseOptions, "pool">): Promise<DatabaseReader>;
}

/** Each driver with its client library, loaded when it is asked for: a node with SQLite needs none of them. */
export const databases: Readonly<Record<DatabaseKind, () => Promise<Database>>> = {
  mysql: async () => {
    const { openMysqlDriver, openMysqlReader, parseMysqlDsn } = await import("@k3s/datastore-mysql");
    return {
      check: ({ address }) => {
        if (address !== "") parseMysqlDsn(address); // empty is a place of its own
      },
      open: ({ address, tls, pool, log, signal }) =>
        openMysqlDriver({ dsn: address, tls, log, signal, ...(pool === undefined ? {} : { pool }) }),
      inspect: ({ address, tls, log, signal }) => openMysqlReader({ dsn: address, tls, log, signal }),
    };
  },
  postgres: async () => {
    const { openPostgresDriver, openPostgresReader, parsePostgresDsn } = await import("@k3s/datastore-postgres");
    return {
      check: ({ scheme, address, tls, env }) => void parsePostgresDsn(`${scheme}://${address}`, { env, tls }),
      open: ({ scheme, address, tls, env, pool, log, signal }) =>
        openPostgresDriver({
          ...{ dsn: `${scheme}://${address}`, tls, env, log, signal },
          ...(pool === undefined ? {} : { pool }),
        }),
      inspect: ({ scheme, address, tls, env, log, signal }) =>
        openPostgresReader({ dsn: `${scheme}://${address}`, tls, env, log, signal }),
    };
  },
  nats: async () => {
    const { openNatsDriver, openNatsReader, parseNatsEndpoint } = await import("@k3s/datastore-nats");
    return {
      check: ({ scheme, address }) => void parseNatsEndpoint(`${scheme}://${address}`),
      open: ({ scheme, address, tls, log, signal }) =>
        openNatsDriver({ endpoint: `${scheme}://${address}`, tls, log, signal }),
      inspect: ({ scheme, address, tls, log, signal }) =>
        openNatsReader({ endpoint: `${scheme}://${address}`, tls, log, signal }),
    };
  },
};
