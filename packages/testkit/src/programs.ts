import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { freezeProcess } from "./freeze-process.ts";
import { until } from "./until.ts";

/** Folders, as in PATH, with programs that are not installed, such as the component folder of the product. */
const FOLDER_VARIABLE = "K3S_TEST_BIN_DIR";
const OUTPUT_CHARS_MAX = 64 << 10;
const STOP_GRACE_MS = 10_000;

/** Path of an upstream program that a test needs: from PATH, else from a folder that K3S_TEST_BIN_DIR names. A path is taken as it is. */
export async function findProgram(name: string): Promise<string> {
  if (isAbsolute(name)) return name;
  const folders = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    ...(process.env[FOLDER_VARIABLE] ?? "").split(delimiter),
  ];
  for (const folder of folders.filter(Boolean)) {
    const path = join(folder, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  throw new Error(`Cannot find program "${name}": neither in PATH nor in a folder named by ${FOLDER_VARIABLE}`);
}

export interface ProgramOptions {
  readonly args: readonly string[];
  readonly cwd: string;
  /** Name of the network namespace the program lives in; default: that of the test. */
  readonly network?: string | undefined;
}

/** The command that runs a program in a network namespace, or as it is. It keeps its process id. */
export function inNetwork(network: string | undefined, argv: readonly [string, ...string[]]): [string, ...string[]] {
  return network === undefined ? [...argv] : ["nsenter", `--net=/run/netns/${network}`, ...argv];
}

/** A program of someone else that runs beside a test. */
export class Program {
  readonly #child: ChildProcess;
  #output = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_CHARS_MAX);
      });
    }
  }

  /** Rejects when the program cannot be found or executed. */
  static async start(name: string, options: ProgramOptions): Promise<Program> {
    const [file, ...args] = inNetwork(options.network, [await findProgram(name), ...options.args]);
    const child = spawn(file, args, { cwd: options.cwd, stdio: ["ignore", "pipe", "pipe"] });
    await once(child, "spawn");
    return new Program(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The newest of what it wrote on both streams. */
  get output(): string {
    return this.#output;
  }

  /**
   * Resolves when `check` gives true; `state` completes "Waiting until". Rejects after `limitMs`, a minute by default, and with what the program
   * wrote as soon as it ends instead.
   */
  async ready(state: string, check: () => Promise<boolean>, limitMs?: number): Promise<void> {
    await until(state, async () => this.hasExited || (await check()), limitMs);
    if (this.hasExited) throw new Error(`Waiting until ${state}: the program ended\n${this.output}`);
  }

  /** SIGKILL. Resolves when it is gone; may be called twice. */
  async kill(): Promise<void> {
    if (this.hasExited) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  /** Nothing answers any more, but connections stay. */
  freeze(): Promise<void> {
    return freezeProcess(this.pid);
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** SIGTERM, and SIGKILL ten seconds later. Resolves when it is gone; may be called twice. */
  async stop(): Promise<void> {
    if (this.hasExited) return;
    const exited = once(this.#child, "exit");
    const hurry = AbortSignal.timeout(STOP_GRACE_MS);
    hurry.addEventListener("abort", () => this.#child.kill("SIGKILL"), { once: true });
    this.#child.kill("SIGTERM");
    await exited;
  }
}
