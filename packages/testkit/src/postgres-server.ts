import { existsSync } from "node:fs";
import { appendFile, readFile, realpath, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { once } from "node:events";
import { execa } from "execa";
import { freePort } from "./free-port.ts";
import { freezeProcess } from "./freeze-process.ts";
import { findProgram, Program } from "./programs.ts";
import { until } from "./until.ts";

export interface PostgresOptions {
  /** Existing folder for the data and the socket. */
  readonly folder: string;
  /** Settings as `name=value`. They hold for every start. */
  readonly settings?: readonly string[];
  /** Orders text in its databases as people who speak it do, such as `en-US`; default: by bytes. */
  readonly icuLocale?: string;
  /** Name of the network namespace whose loopback it listens on; default: that of the test. */
  readonly network?: string;
}

interface PostgresParts {
  readonly network: string | undefined;
  readonly program: string;
  /** What stands in front of each of PostgreSQL's programs. */
  readonly prefix: readonly string[];
  readonly folder: string;
  readonly port: number;
  readonly settings: readonly string[];
}

const NOBODY = "65534";
/** PostgreSQL refuses to run as root. In a user namespace root is somebody else, and still owner of his files. */
const AS_NOBODY = ["--user", `--map-user=${NOBODY}`, `--map-group=${NOBODY}`];

/** Small, but as durable as a server with default settings. */
const SETTINGS = ["listen_addresses=127.0.0.1", "shared_buffers=32MB", "max_connections=60", "autovacuum=off"];

/** SSLRequest of the protocol: length and code. A server that is up answers with one letter. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * A real PostgreSQL on loopback and a unix socket, with data of its own. User postgres needs no password and may do everything.
 *
 *   start -> running --freeze--> frozen --thaw--> running --stop or kill--> gone --restart--> running
 */
export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  /** Folder of the unix socket. */
  readonly folder: string;
  readonly dataDir: string;
  readonly #parts: PostgresParts;
  #running: Program | undefined;

  private constructor(parts: PostgresParts) {
    this.#parts = parts;
    this.port = parts.port;
    this.folder = parts.folder;
    this.dataDir = join(parts.folder, "data");
  }

  /** Makes the data folder and starts. Resolves when clients are let in; the caller disposes of it. */
  static async start(options: PostgresOptions): Promise<PostgresServer> {
    const program = await realpath(await findProgram("postgres"));
    const { folder, settings = [], icuLocale, network } = options;
    const prefix = [...AS_NOBODY, "env", ...libraryPath(program)];
    const own = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
    if (icuLocale !== undefined) own.push("--locale-provider=icu", `--icu-locale=${icuLocale}`);
    const initdb = join(dirname(program), "initdb");
    await execa("unshare", [...prefix, initdb, `--pgdata=${join(folder, "data")}`, ...own], { cwd: folder });
    const server = new PostgresServer({ program, prefix, folder, port: await freePort(), settings, network });
    await server.restart();
    return server;
  }

  /** Starts a server that follows `primary`, with a copy of its data in `folder`. It takes no writes until `pg_promote()`. */
  static async startStandby(primary: PostgresServer, folder: string): Promise<PostgresServer> {
    const { program, prefix, settings, network } = primary.#parts;
    const server = new PostgresServer({ program, prefix, folder, port: await freePort(), settings, network });
    const from = [`--host=${primary.folder}`, `--port=${primary.port}`, "--username=postgres"];
    const how = [`--pgdata=${server.dataDir}`, "--checkpoint=fast", "--no-sync"];
    await execa("unshare", [...prefix, join(dirname(program), "pg_basebackup"), ...from, ...how], { cwd: folder });
    await server.follow(primary);
    await server.restart();
    return server;
  }

  /** Makes a standby of `primary` of it with the next start. */
  async follow(primary: PostgresServer): Promise<void> {
    const way = `host=${primary.folder} port=${primary.port} user=postgres`;
    await appendFile(join(this.dataDir, "postgresql.auto.conf"), `primary_conninfo = '${way}'\n`);
    await writeFile(join(this.dataDir, "standby.signal"), "");
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
    if (this.#running?.hasExited === false) throw new Error("Cannot start PostgreSQL: it is running");
    const { program, prefix, folder, port, settings, network } = this.#parts;
    const places = [`unix_socket_directories=${folder}`, `port=${port}`];
    const options = [...SETTINGS, ...places, ...settings].flatMap((setting) => ["-c", setting]);
    const child = await Program.start("unshare", {
      args: [...prefix, program, "-D", this.dataDir, ...options],
      cwd: folder,
      network,
    });
    this.#running = child;
    try {
      await child.ready(
        "PostgreSQL lets clients in",
        async () => (await isReady(this.dataDir)) && (await greets(join(folder, `.s.PGSQL.${port}`))),
      );
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends all sessions and writes everything. Works on a frozen server, may be called twice. */
  async stop(): Promise<void> {
    const child = this.#running;
    if (child === undefined || child.hasExited) return;
    await this.#signal("SIGCONT");
    process.kill(child.pid, "SIGINT"); // the "fast" end; SIGTERM would wait for clients
    await until("PostgreSQL is gone", () => Promise.resolve(child.hasExited)).catch(() => this.kill());
  }

  /** The end of a crash: nothing is written any more. */
  async kill(): Promise<void> {
    const child = this.#running;
    if (child === undefined || child.hasExited) return;
    await this.#signal("SIGKILL");
    await until("PostgreSQL is gone", () => Promise.resolve(child.hasExited));
  }

  /** Nothing answers any more, but connections stay. */
  async freeze(): Promise<void> {
    await freezeProcess(this.pid);
    for (const child of await childrenOf(this.pid)) await freezeProcess(child).catch(() => undefined); // it ended meanwhile
  }

  async thaw(): Promise<void> {
    await this.#signal("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The first process makes one for each session: it is told first, so that no new one comes up. */
  async #signal(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this;
    const children = await childrenOf(pid);
    process.kill(pid, signal);
    for (const child of new Set([...children, ...(await childrenOf(pid))])) sendTo(child, signal);
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return children.split(" ").filter(Boolean).map(Number);
}

function sendTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    return; // a session that ended meanwhile
  }
}

/** Debian's packages, unpacked anywhere, have the libraries beside the program. */
function libraryPath(program: string): string[] {
  const usr = dirname(dirname(dirname(dirname(dirname(program)))));
  const folder = join(usr, "lib/x86_64-linux-gnu");
  return usr === "/usr" || !existsSync(folder) ? [] : [`LD_LIBRARY_PATH=${folder}`];
}

/** The eighth line of the server's lock file is its state. */
async function isReady(dataDir: string): Promise<boolean> {
  const text = await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "");
  return text.split("\n")[7]?.trim() === "ready";
}

async function greets(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    socket.write(SSL_REQUEST);
    const [bytes] = (await once(socket, "data", { signal: AbortSignal.timeout(1000) })) as [Buffer];
    return ["N", "S"].includes(bytes.toString("latin1"));
  } finally {
    socket.destroy();
  }
}
