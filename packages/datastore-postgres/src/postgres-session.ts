import type { Socket } from "node:net";
import type { SqlSession } from "@k3s/datastore-sql";
import { soonAfter } from "@k3s/async";
import { Client, types, type ClientConfig } from "pg";
import { endsSession } from "./classify.ts";
import { describeHost, type ConnectTarget } from "./connect-targets.ts";
import type { DurabilitySettings } from "./durability.ts";
import { PostgresSocket } from "./foreign-server.ts";
import { watchLogin } from "./login.ts";
import type { PostgresSettings } from "./parse-postgres-dsn.ts";

/** How long a goodbye may take before the connection is cut. */
const END_MS = 500;
const KEEP_ALIVE_MS = 15_000;

/** A statement; one with a name is prepared once in each session. */
export interface Statement {
  readonly name?: string;
  readonly text: string;
}

/** What a column can hold, as this client reads it. Numbers are exact up to 2^53, which ids never reach. */
export type Cell = string | number | boolean | Buffer | null;
export type Row = readonly Cell[];
export type Parameter = string | number | bigint | boolean | Buffer | null | readonly (string | number | bigint)[];

export interface SessionOptions {
  readonly settings: PostgresSettings;
  readonly target: ConnectTarget;
  readonly database: string;
}

/**
 * The server names the number before it has shown that it knows the password, and could keep a thread busy for good. So many take 2 s of a
 * processor of today, which connecting has time for; the library's own 100,000 are fewer than some servers are set to.
 */
const SCRAM_ROUNDS_MAX = 10_000_000;

/** A connection of the library `pg`. */
export class PostgresSession implements SqlSession {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #lost = new AbortController();
  /** The server, for people. */
  readonly server: string;
  /** A transaction is open, and has the one lock. */
  isLocked = false;
  /** Whether each statement reaches the same session with the server, which then keeps what is prepared and set. False behind a pooler. */
  isDirect: boolean;
  /** How `pg_stat_activity` knows this session; undefined behind a pooler, which hands its sessions with the server on to others, whole ones too. */
  backend: { readonly pid: number; readonly startedAt: string } | undefined;
  /** What the server was when the session began. */
  isStandby = false;
  isReadOnly = false;
  /** The server's settings that say how durable a commit is, as every session has them that sets nothing itself. */
  durability: DurabilitySettings = new Map();

  private constructor({ settings, target }: SessionOptions, client: Client, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
    this.isDirect = settings.canPrepare;
    this.server = describeHost(target);
    client.setTypeParser(types.builtins.INT8, Number);
    client.on("error", (error) => this.#lose(error));
    client.on("end", () => this.#lose(new Error("The connection ended")));
  }

  /** Rejects with the library's error, ForeignServer, UnknownLogin, or the reason of `signal`. */
  static async connect(options: SessionOptions, signal: AbortSignal): Promise<PostgresSession> {
    signal.throwIfAborted();
    const socket = new PostgresSocket();
    const client = new Client(clientConfig(options, socket));
    watchLogin(client.connection);
    const session = new PostgresSession(options, client, socket);
    const giveUp = () => socket.destroy(signal.reason as Error);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      await client.connect();
      return session;
    } catch (error) {
      socket.destroy();
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** The number of the server's process in its greeting; a pooler gives one of its own. */
  get greetedPid(): number | undefined {
    return "processID" in this.#client && typeof this.#client.processID === "number"
      ? this.#client.processID
      : undefined;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Runs one statement and gives its rows. */
  async query({ name, text }: Statement, values: readonly Parameter[] = []): Promise<readonly Row[]> {
    const prepared = name !== undefined && this.isDirect ? { name } : {};
    const result = await this.#run(() =>
      this.#client.query<Cell[]>({ ...prepared, text, values: [...values], rowMode: "array" }),
    );
    return result.rows;
  }

  /** Runs statements without parameters in one go, for what they do. */
  async run(text: string): Promise<void> {
    await this.#run(() => this.#client.query(text));
  }

  /** Calls `listener` with each payload on the channel until the session is lost. */
  async listen(channel: string, listener: (payload: string) => void): Promise<void> {
    this.#client.on("notification", (notification) => {
      if (notification.channel === channel) listener(notification.payload ?? "");
    });
    await this.run(`LISTEN "${channel}"`);
  }

  async end(): Promise<void> {
    const goodbye = this.#client.end();
    const late = () => new Error("The server did not say goodbye");
    await soonAfter(goodbye, { signal: AbortSignal.abort(), ms: END_MS, late }).catch(() => undefined);
    this.destroy(new Error("The connection was closed"));
  }

  destroy(reason: Error): void {
    this.#lose(reason);
    this.#socket.destroy();
  }

  async #run<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (endsSession(error)) this.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  #lose(reason: Error): void {
    this.isLocked = false;
    this.#lost.abort(reason);
  }
}

/** The library's types lack the setting. */
interface ScramConfig extends ClientConfig {
  readonly scramMaxIterations: number;
}

function clientConfig({ settings, target, database }: SessionOptions, socket: Socket): ScramConfig {
  const { host, port, ssl } = target;
  return {
    host,
    port,
    // A copy: the library hides the key in the object it gets.
    ssl: ssl === false ? false : { ...ssl },
    // Always said, because the library looks into the environment otherwise.
    sslnegotiation: settings.isTlsDirect && ssl !== false ? "direct" : "postgres",
    user: settings.user,
    // A function, because the library looks into the environment when it gets an empty string.
    password: () => settings.password,
    scramMaxIterations: SCRAM_ROUNDS_MAX,
    database,
    ...(settings.parameters["options"] === undefined ? {} : { options: settings.parameters["options"] }),
    application_name: settings.parameters["application_name"] ?? "k3s",
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    stream: () => socket,
  };
}
