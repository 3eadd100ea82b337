import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { once } from "node:events";
import { execa } from "execa";
import { freePort } from "./free-port.ts";
import { freezeProcess } from "./freeze-process.ts";
import { findProgram, Program } from "./programs.ts";
import { until } from "./until.ts";

export interface MariaDbOptions {
  /** Existing folder for the data, the socket and temporary files. */
  readonly folder: string;
  /** More options of mariadbd. They hold for every start. */
  readonly args?: readonly string[];
  /** Name of the network namespace whose loopback it listens on; default: that of the test. */
  readonly network?: string;
}

interface MariaDbParts {
  readonly network: string | undefined;
  readonly program: string;
  readonly environment: readonly string[];
  readonly folder: string;
  readonly port: number;
  readonly args: readonly string[];
}

/** Small, but as durable as a server with default settings. */
const SETTINGS = [
  "--innodb-log-file-size=16M",
  "--innodb-buffer-pool-size=64M",
  "--innodb-use-native-aio=0",
  "--skip-name-resolve",
  "--bind-address=127.0.0.1",
];

/** The protocol version in a server's first packet, behind its four bytes of header. */
const HANDSHAKE_VERSION = 10;

/**
 * A real MariaDB on loopback and a unix socket, with data of its own. User root has no password and may do everything.
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
    const program = await realpath(await findProgram("mariadbd"));
    const base = dirname(dirname(program));
    const environment = libraryPath(base);
    // Its own place for temporary tables: whoever starts removes those that are where its own are to be, of others too.
    const places = [`--datadir=${join(options.folder, "data")}`, `--tmpdir=${options.folder}`];
    const install = ["--no-defaults", `--basedir=${base}`, ...places, "--user=root"];
    const rights = ["--auth-root-authentication-method=normal", "--skip-test-db"];
    const script = join(base, "bin/mariadb-install-db");
    await execa("env", [...environment, script, ...install, ...rights, ...SETTINGS.slice(0, 3)]);
    const port = await freePort();
    const { folder, args = [], network } = options;
    const server = new MariaDbServer({ program, environment, port, folder, args, network });
    await server.restart();
    return server;
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
    const { program, environment, folder, port, args, network } = this.#parts;
    const base = dirname(dirname(program));
    const places = [`--datadir=${this.dataDir}`, `--socket=${this.socketPath}`, `--tmpdir=${folder}`];
    const own = ["--no-defaults", `--basedir=${base}`, ...places, `--port=${port}`, "--user=root"];
    const child = await Program.start("env", {
      args: [...environment, program, ...own, ...SETTINGS, ...args],
      cwd: folder,
      network,
    });
    this.#running = child;
    try {
      await child.ready("MariaDB greets clients", () => greets(this.socketPath));
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

/** Debian's packages, unpacked anywhere, have the libraries beside the program. */
function libraryPath(base: string): string[] {
  const folder = join(base, "lib/x86_64-linux-gnu");
  return base === "/usr" || !existsSync(folder) ? [] : [`LD_LIBRARY_PATH=${folder}`];
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
