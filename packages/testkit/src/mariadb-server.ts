import { connect } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { execa } from "execa";
import { freePort } from "./free-port.ts";
import { freezeProcess } from "./freeze-process.ts";
import { findMysqlPrograms, type MysqlPrograms } from "./mysql-programs.ts";
import { Program } from "./programs.ts";
import { until } from "./until.ts";

export interface MariaDbOptions {
  /** Existing folder for the data, the socket and temporary files. */
  readonly folder: string;
  /** More options of the server. They hold for every start. */
  readonly args?: readonly string[];
  /** Default: true. */
  readonly hasTls?: boolean;
  /** Name of the network namespace whose loopback it listens on; default: that of the test. */
  readonly network?: string;
}

interface MariaDbParts {
  readonly network: string | undefined;
  readonly programs: MysqlPrograms;
  readonly folder: string;
  readonly port: number;
  readonly args: readonly string[];
}

/** The protocol version in a server's first packet, behind its four bytes of header. */
const HANDSHAKE_VERSION = 10;

/**
 * A real MariaDB on loopback and a unix socket, with data of its own. User root has no password and may do everything. A real MySQL
 * instead, where K3S_TEST_MYSQL_ROOT names one.
 *
 *   start -> running --freeze--> frozen --thaw--> running --stop or kill--> gone --restart--> running
 */
export class MariaDbServer implements AsyncDisposable {
  readonly port: number;
  readonly socketPath: string;
  readonly dataDir: string;
  readonly #parts: MariaDbParts;
  #running: Program | undefined;

  private constructor(parts: MariaDbParts) {
    this.#parts = parts;
    this.port = parts.port;
    this.socketPath = join(parts.folder, "mariadb.sock");
    this.dataDir = join(parts.folder, "data");
  }

  /** Makes the data folder and starts. Resolves when clients are let in; the caller disposes of it. */
  static async start(options: MariaDbOptions): Promise<MariaDbServer> {
    const { folder, args = [], hasTls = true, network } = options;
    const programs = await findMysqlPrograms(folder);
    const [install, ...words] = programs.install;
    await execa(install, [...words, ...placesIn(folder)]);
    const port = await freePort();
    const own = hasTls ? args : [programs.withoutTls, ...args];
    const server = new MariaDbServer({ programs, port, folder, args: own, network });
    await server.restart();
    return server;
  }

  /** Which of the two it is. */
  get product(): MysqlPrograms["product"] {
    return this.#parts.programs.product;
  }

  get pid(): number {
    return this.#running?.pid ?? 0;
  }

  /** The newest of what the server wrote to its log. */
  get output(): string {
    return this.#running?.output ?? "";
  }

  /** Starts a server that was stopped or killed: same data, port and socket. */
  async restart(): Promise<void> {
    if (this.#running?.hasExited === false) throw new Error("Cannot start MariaDB: it is running");
    const { programs, folder, port, args, network } = this.#parts;
    const [serve, ...words] = programs.serve;
    const child = await Program.start(serve, {
      args: [...words, ...placesIn(folder), `--socket=${this.socketPath}`, `--port=${port}`, ...args],
      cwd: folder,
      network,
    });
    this.#running = child;
    try {
      await child.ready(`${programs.product} greets clients`, () => greets(this.socketPath));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Clean end. Works on a frozen server, may be called twice. */
  async stop(): Promise<void> {
    const child = this.#running;
    if (child === undefined || child.hasExited) return;
    process.kill(child.pid, "SIGCONT");
    await child.stop();
  }

  /** The end of a crash: nothing is written any more. */
  async kill(): Promise<void> {
    const child = this.#running;
    if (child === undefined || child.hasExited) return;
    process.kill(child.pid, "SIGKILL");
    await until("MariaDB is gone", () => Promise.resolve(child.hasExited));
  }

  /** Nothing answers any more, but connections stay. */
  async freeze(): Promise<void> {
    await freezeProcess(this.pid);
  }

  thaw(): void {
    process.kill(this.pid, "SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A place of its own for temporary tables: whoever starts removes those that are where its own are to be, of others too. */
function placesIn(folder: string): string[] {
  return [`--datadir=${join(folder, "data")}`, `--tmpdir=${folder}`];
}

async function greets(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    const [bytes] = (await once(socket, "data", { signal: AbortSignal.timeout(1000) })) as [Buffer];
    return bytes[4] === HANDSHAKE_VERSION;
  } finally {
    socket.destroy();
  }
}
