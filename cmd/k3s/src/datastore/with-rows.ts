import { DriverError, type DatabaseReader } from "@k3s/datastore";
import { sqliteFile } from "@k3s/datastore-endpoint";
import { openSqliteReader, type SqliteReader } from "@k3s/datastore-sqlite";
import { NodeError } from "@k3s/errors";
import { DatastoreToolError } from "../errors.ts";
import { inspectDatabase, type DatabaseAccess } from "./open-database.ts";

/** What a tool reads of a database. */
export interface RowSource extends Omit<DatabaseReader, "close"> {
  /** What the database itself finds damaged; undefined where it cannot be asked. */
  readonly integrity: (() => Promise<Integrity>) | undefined;
}

interface Integrity {
  readonly findings: readonly string[];
  /** What to do about damage. */
  readonly cure: string;
}

/**
 * Gives `use` the rows of a database, which is opened for reading alone: nothing in it is made, changed or mended. Rejects with
 * NodeError when it is not there or cannot be read.
 */
export async function withRows<T>(access: DatabaseAccess, use: (rows: RowSource) => Promise<T>): Promise<T> {
  try {
    return await withReader(access, use);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    throw error.cause instanceof NodeError ? error.cause : DatastoreToolError.unreadable(error);
  }
}

async function withReader<T>(access: DatabaseAccess, use: (rows: RowSource) => Promise<T>): Promise<T> {
  const { endpoint, folder } = access.database;
  if (endpoint.kind === "sqlite") {
    const reader = await openSqliteReader(sqliteFile(endpoint.dsn, folder));
    try {
      return await use({ ...bind(reader), integrity: () => readIntegrity(reader) });
    } finally {
      await reader.close();
    }
  }
  const reader = await inspectDatabase(endpoint, access);
  try {
    return await use({ ...bind(reader), integrity: undefined });
  } finally {
    await reader.close();
  }
}

async function readIntegrity(reader: SqliteReader): Promise<Integrity> {
  return { findings: await reader.integrity(), cure: reader.cure };
}

function bind(from: DatabaseReader): Omit<DatabaseReader, "close"> {
  return {
    heads: (after, limit) => from.heads(after, limit),
    side: () => from.side(),
    values: (rows) => from.values(rows),
    size: () => from.size(),
    findings: () => from.findings(),
    ...(from.atOneMoment !== undefined && { atOneMoment: from.atOneMoment.bind(from) }),
  };
}
