import type { Socket } from "node:net";
import type { ClaimScope } from "@k3s/datastore";
import type { SqlSession } from "@k3s/datastore-sql";
import type { Connection, QueryError } from "mysql2";
import { endsConnection } from "./classify.ts";

/** A value as the client library gives it: integers beyond 2^53 come as text. */
export type SqlValue = string | number | Buffer | null;
export type SqlRow = readonly SqlValue[];

/** What the server said about itself, by the names of its variables. */
export type ServerVariables = ReadonlyMap<string, string>;

interface MysqlSessionParts {
  readonly connection: Connection;
  readonly socket: Socket;
  /** A statement whose answer pauses longer than this costs the connection; undefined: no limit. */
  readonly readTimeoutMs: number | undefined;
}

const END_LIMIT_MS = 1000;

/** One connection to MySQL or MariaDB. */
export class MysqlSession implements SqlSession {
  /** A transaction is open in which this session has the one lock, or the tables: whom it keeps back. */
  holds: ClaimScope | undefined;
  /** The server's number for this connection, given once; undefined behind a proxy, whose connections to the server are not ours alone. */
  serverId: number | undefined;
  /** Of the server, read when the session began. */
  variables: ServerVariables = new Map();
  readonly #parts: MysqlSessionParts;
  readonly #lost = new AbortController();

  constructor(parts: MysqlSessionParts) {
    this.#parts = parts;
    const { connection, socket } = parts;
    connection.on("error", (error: Error) => this.#lose(error));
    socket.once("close", () => this.#lose(new Error("The server closed the connection")));
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** The number of this connection in the greeting, which a proxy gives by itself. */
  get threadId(): number {
    return this.#parts.connection.threadId;
  }

  /** Largest packet the server takes, in bytes. */
  get maxPacketBytes(): number {
    return Number(this.variables.get("max_allowed_packet") ?? 0);
  }

  /** Runs one statement that answers with rows. */
  async select(sql: string): Promise<readonly SqlRow[]> {
    return (await this.#query(sql)) as readonly SqlRow[]; // sound: rowsAsArray is set
  }

  /** Runs statements that answer with rows, all of them in one packet. */
  async selectAll(statements: readonly string[]): Promise<readonly (readonly SqlRow[])[]> {
    const results = (await this.#query(statements.join(";"))) as readonly unknown[];
    return results.filter(Array.isArray) as SqlRow[][]; // sound: as above; other statements answer with an object
  }

  /** Runs statements in one packet, up to the first that fails. */
  async run(statements: readonly string[]): Promise<void> {
    await this.#query(statements.join(";"));
  }

  async end(): Promise<void> {
    if (this.#lost.signal.aborted) return;
    const { connection, socket } = this.#parts;
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.setTimeout(END_LIMIT_MS, () => socket.destroy());
    connection.end(() => socket.end());
    await closed;
  }

  destroy(reason: Error): void {
    this.#lose(reason);
    this.#parts.socket.destroy(reason);
  }

  #query(sql: string): Promise<unknown> {
    const { connection, readTimeoutMs } = this.#parts;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const options = { sql, ...(readTimeoutMs !== undefined && readTimeoutMs > 0 && { timeout: readTimeoutMs }) };
    connection.query(options, (error: QueryError | null, result: unknown) => {
      if (error === null) {
        resolve(result);
        return;
      }
      const isLost = error.fatal || error.code === "PROTOCOL_SEQUENCE_TIMEOUT" || endsConnection(error);
      if (isLost) this.destroy(error);
      reject(error);
    });
    return promise;
  }

  #lose(reason: Error): void {
    this.holds = undefined;
    this.#lost.abort(reason);
  }
}
