import type { Driver } from "@k3s/datastore";
import { sqliteFile } from "@k3s/datastore-endpoint";
import { openSqliteReader } from "@k3s/datastore-sqlite";
import { openDatabase, type DatabaseAccess } from "./open-database.ts";

/** The reading part of a driver. */
export interface RowSource extends Pick<Driver, "heads" | "side" | "values" | "size"> {
  /** What the database itself finds damaged; undefined where it cannot be asked. */
  readonly integrity: (() => Promise<readonly string[]>) | undefined;
}

/**
 * Gives `use` the rows of a database. A SQLite file is opened for reading alone, which no server on it feels; other databases are
 * made for many users. Rejects with NodeError when it cannot be opened.
 */
export async function withRows<T>(access: DatabaseAccess, use: (rows: RowSource) => Promise<T>): Promise<T> {
  const { database } = access;
  if (database.endpoint.kind === "sqlite") {
    const reader = await openSqliteReader(sqliteFile(database.endpoint.dsn, database.folder));
    try {
      return await use(bind(reader, () => reader.integrity()));
    } finally {
      await reader.close();
    }
  }
  const driver = await openDatabase(access);
  try {
    return await use(bind(driver, undefined));
  } finally {
    await driver.close();
  }
}

function bind(from: Pick<Driver, "heads" | "side" | "values" | "size">, integrity: RowSource["integrity"]): RowSource {
  return {
    heads: (after, limit) => from.heads(after, limit),
    side: () => from.side(),
    values: (rows) => from.values(rows),
    size: () => from.size(),
    integrity,
  };
}
