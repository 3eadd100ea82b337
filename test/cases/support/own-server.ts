import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CaseServer, ServerKind, ServerOptions } from "./server-kind.ts";

type OwnKind = Exclude<ServerKind, "etcd">;

/** What the server's process is told. */
export interface OwnServerSettings extends ServerOptions {
  readonly folder: string;
  readonly socketPath: string;
  /** 0: a free one. */
  readonly port: number;
  readonly transport: OwnKind;
  readonly progressIntervalMs: number;
}

const PROGRAM = join(import.meta.dirname, "serve-own.ts");
const PROGRESS_INTERVAL_MS = 100;
const STOP_LIMIT_MS = 10_000;
const OUTPUT_CHARS_MAX = 16_384;

/** Our API over a new SQLite file, in a process of its own. */
export async function startOwnServer(kind: OwnKind, options: ServerOptions): Promise<CaseServer> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-cases-"));
  const { progressIntervalMs = PROGRESS_INTERVAL_MS, ...rest } = options;
  const server = new OwnServer({
    ...rest,
    folder,
    socketPath: join(folder, "kine.sock"),
    port: 0,
    transport: kind,
    progressIntervalMs,
  });
  try {
    await server.start();
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

class OwnServer implements CaseServer {
  readonly kind: OwnKind;
  readonly folder: string;
  #settings: OwnServerSettings;
  #child: ChildProcess | undefined;

  constructor(settings: OwnServerSettings) {
    this.kind = settings.transport;
    this.folder = settings.folder;
    this.#settings = settings;
  }

  get socketPath(): string {
    return this.#settings.socketPath;
  }

  get port(): number {
    return this.#settings.port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const child = fork(PROGRAM, [JSON.stringify(this.#settings)], { stdio: ["ignore", "inherit", "pipe", "ipc"] });
    this.#child = child;
    let output = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARS_MAX);
    });
    const listening = once(child, "message").then(([port]) => Number(port));
    const port = await Promise.race([listening, once(child, "exit").then(() => undefined)]);
    if (port === undefined) throw new Error(`Cannot start server: it ended\n${output}`);
    this.#settings = { ...this.#settings, port };
  }

  async restart(how: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.#end(how);
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end("SIGKILL"); // nothing is to be kept
    await rm(this.folder, { recursive: true, force: true });
  }

  /** SIGTERM: it is let go of, and killed when that is not enough. */
  async #end(how: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    const limit = AbortSignal.timeout(STOP_LIMIT_MS);
    const kill = () => child.kill("SIGKILL");
    limit.addEventListener("abort", kill, { once: true });
    if (how === "SIGKILL") kill();
    else child.disconnect();
    await exited;
    limit.removeEventListener("abort", kill);
  }
}
