import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { FailpointAction } from "@k3s/failpoints";
import type { DriverSeed } from "../seeds/driver-seeds.ts";

const PROGRAM = join(import.meta.dirname, "serve-datastore.ts");
const OUTPUT_CHARS_MAX = 16_384;

/** What the server's process is told. */
export interface ServerSettings {
  readonly folder: string;
  /** As `--datastore-endpoint` takes it. */
  readonly endpoint: string;
  readonly socketPath: string;
  readonly failpoints: Readonly<Record<string, FailpointAction>>;
  readonly seed: DriverSeed | undefined;
}

interface ServerProcessOptions {
  /** Where SQLite's database and the socket are; it stays when the process is killed. */
  readonly folder: string;
  /** SQLite in the folder by default. */
  readonly endpoint?: string;
  /** Tells servers in one folder apart. */
  readonly name?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly seed?: DriverSeed;
}

/** Our datastore as a process that can be killed and started again on the same data. */
export class ServerProcess implements AsyncDisposable {
  readonly target: string;
  readonly #options: ServerProcessOptions;
  readonly #socketPath: string;
  #child: ChildProcess | undefined;
  #output = "";

  constructor(options: ServerProcessOptions) {
    this.#options = options;
    this.#socketPath = join(options.folder, `${options.name ?? "kine"}.sock`);
    this.target = `unix:${this.#socketPath}`;
  }

  /** Resolves when the API is served. Rejects when the process ended before; {@link killed} tells whether by a failpoint. */
  async start(failpoints: ServerSettings["failpoints"] = {}): Promise<void> {
    const { folder, endpoint = `sqlite://${join(folder, "state.db")}`, environment = {}, seed } = this.#options;
    const settings: ServerSettings = { folder, endpoint, socketPath: this.#socketPath, failpoints, seed };
    const child = fork(PROGRAM, [JSON.stringify(settings)], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child = child;
    this.#output = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#output = (this.#output + text).slice(-OUTPUT_CHARS_MAX);
    });
    const ended = once(child, "exit").then(() => "ended" as const);
    const state = await Promise.race([once(child, "message").then(() => "ready" as const), ended]);
    if (state === "ended" && !this.killed) throw new Error(`Cannot start server: it ended\n${this.#output}`);
  }

  /** Whether the newest process was ended by SIGKILL, its own or ours. */
  get killed(): boolean {
    return this.#child?.signalCode === "SIGKILL";
  }

  /** Throws with its last words when it ended by itself. */
  assertRunning(): void {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      throw new Error(`Cannot go on: the server ended by itself\n${this.#output}`);
  }

  /** Resolves when the process is gone, by itself or else by SIGKILL after `limitMs`. */
  async end(limitMs: number): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    const limit = AbortSignal.timeout(limitMs);
    const kill = () => child.kill("SIGKILL");
    limit.addEventListener("abort", kill, { once: true });
    await exited;
    limit.removeEventListener("abort", kill);
    if (!this.killed) throw new Error(`Cannot go on: the server ended by itself\n${this.#output}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }
}
