import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { createConnection, type ResultSetHeader, type RowDataPacket } from "mysql2/promise";
import { Client, DatabaseError } from "pg";

/** What a column can hold. Whole numbers of 64 bits come as numbers. */
export type SqlValue = string | number | Buffer | null;
export type SqlRow = readonly SqlValue[];

/** One connection to a database, by a client library that our driver for it does not hide. */
export interface SqlSession extends AsyncDisposable {
  readonly dialect: "sqlite" | "mysql" | "postgres";
  /** Parameters are question marks in all dialects. */
  query(statement: string, ...values: readonly SqlValue[]): Promise<readonly SqlRow[]>;
  /** Carries an insert out without naming an id; resolves with the one that the database chose. */
  insert(statement: string, ...values: readonly SqlValue[]): Promise<number>;
  /** Which unique index an error tells of: the row's own id, or the pair of name and previous revision. */
  violated(error: unknown): "id" | "name" | undefined;
}

const BUSY_LIMIT_MS = 20_000;

/** The folder is made when missing. */
export function openSqlite(path: string): SqlSession {
  mkdirSync(dirname(path), { recursive: true });
  const database = new DatabaseSync(path, { timeout: BUSY_LIMIT_MS });
  const rows = (statement: string, values: readonly SqlValue[]): readonly SqlRow[] => {
    const prepared = database.prepare(statement);
    prepared.setReturnArrays(true);
    const answer = prepared.all(...values) as unknown as SQLOutputValue[][]; // sound: arrays were asked for
    return answer.map((row) => row.map(fromSqlite));
  };
  return {
    dialect: "sqlite",
    query: (statement, ...values) => Promise.resolve().then(() => rows(statement, values)),
    insert: (statement, ...values) =>
      Promise.resolve().then(() => Number(rows(`${statement} RETURNING id`, values)[0]?.[0])),
    violated: (error) => {
      const text = String(error);
      if (!text.includes("UNIQUE constraint failed")) return undefined;
      return text.includes("kine.name") ? "name" : "id";
    },
    [Symbol.asyncDispose]: () =>
      Promise.resolve().then(() => {
        database.close();
      }),
  };
}

function fromSqlite(value: SQLOutputValue): SqlValue {
  return value instanceof Uint8Array ? Buffer.from(value) : typeof value === "bigint" ? Number(value) : value;
}

/** The database is made when missing. */
export async function openMariaDb(socketPath: string, database: string): Promise<SqlSession> {
  const connection = await createConnection({ socketPath, user: "root" });
  connection.on("error", () => undefined); // a server that is stopped ends it
  await connection.query(`CREATE DATABASE IF NOT EXISTS \`${database}\``);
  await connection.query(`USE \`${database}\``);
  return {
    dialect: "mysql",
    query: async (sql, ...values) => {
      const [rows] = await connection.query<RowDataPacket[][]>({ sql, values: [...values], rowsAsArray: true });
      return Array.isArray(rows) ? (rows as unknown as SqlRow[]) : []; // sound: the library's types know no arrays
    },
    insert: async (sql, ...values) =>
      (await connection.query<ResultSetHeader>({ sql, values: [...values] }))[0].insertId,
    violated: (error) => {
      if (!(error instanceof Error && "errno" in error && error.errno === 1062)) return undefined;
      return error.message.includes("PRIMARY") ? "id" : "name";
    },
    [Symbol.asyncDispose]: () =>
      Promise.resolve().then(() => {
        connection.destroy();
      }),
  };
}

/** The database is made when missing. */
export async function openPostgres(port: number, database: string): Promise<SqlSession> {
  const place = { host: "127.0.0.1", port, user: "postgres" };
  const admin = new Client({ ...place, database: "postgres" });
  await admin.connect();
  const { rowCount } = await admin.query("SELECT 1 FROM pg_database WHERE datname = $1", [database]);
  if (rowCount === 0) await admin.query(`CREATE DATABASE "${database}"`);
  await admin.end();
  const client = new Client({ ...place, database });
  client.on("error", () => undefined); // a server that is stopped ends it
  await client.connect();
  const rows = async (statement: string, values: readonly SqlValue[]): Promise<SqlRow[]> => {
    let number = 0;
    const text = statement.replaceAll("?", () => `$${++number}`);
    const answer = await client.query<unknown[]>({ text, values: [...values], rowMode: "array" });
    return answer.rows.map((row) => row.map((value, i) => fromPostgres(value, answer.fields[i]?.dataTypeID)));
  };
  return {
    dialect: "postgres",
    query: (statement, ...values) => rows(statement, values),
    insert: async (statement, ...values) => Number((await rows(`${statement} RETURNING id`, values))[0]?.[0]),
    violated: (error) => {
      if (!(error instanceof DatabaseError && error.code === "23505")) return undefined;
      return error.constraint === "kine_pkey" ? "id" : "name";
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}

const INT8 = 20;

function fromPostgres(value: unknown, type: number | undefined): SqlValue {
  return type === INT8 && value !== null ? Number(value) : (value as SqlValue); // sound: the table has no other types
}
