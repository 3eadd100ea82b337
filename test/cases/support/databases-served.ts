import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { freePort, until } from "@k3s/testkit";
import { Connection } from "../../consistency/wire/connection.ts";

const MAIN = join(import.meta.dirname, "../../../cmd/k3s/src/main.ts");
const LOG_CHARS_MAX = 1 << 20;

/** What a server is started with. */
export interface ServeOptions {
  /** Arguments of `k3s datastore serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** `k3s datastore serve` on loopback, on the same port through restarts. */
export class ServedDatastore {
  /** `host:port` for clients. */
  readonly target: string;
  readonly #options: ServeOptions;
  #child: ChildProcess | undefined;
  #log = "";

  private constructor(port: number, options: ServeOptions) {
    this.target = `127.0.0.1:${port}`;
    this.#options = options;
  }

  /** Resolves when the API is served; gone after the test. Rejects with the log when it ends before. */
  static async start(t: TestContext, endpoint: string, options: ServeOptions = {}): Promise<ServedDatastore> {
    const served = new ServedDatastore(await freePort(), {
      ...options,
      args: [`--endpoint=${endpoint}`, ...(options.args ?? [])],
    });
    t.after(() => served.kill());
    await served.restart();
    return served;
  }

  /** All that it logged since its last start. */
  get log(): string {
    return this.#log;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts it again after {@link stop} or {@link kill}. */
  async restart(): Promise<void> {
    const { args = [], env } = this.#options;
    const places = [`--listen-address=${this.target}`];
    if (env?.["KINE_METRICS_BIND_ADDRESS"] === undefined) places.push("--metrics-bind-address=0");
    const child = spawn(process.execPath, [MAIN, "datastore", "serve", ...places, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"], K3S_CONFIG_FILE: "/dev/null", ...env },
    });
    this.#child = child;
    this.#log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-LOG_CHARS_MAX);
    });
    await until("the datastore is served", () =>
      Promise.resolve(hasEnded(child) || this.#log.includes("the datastore is served")),
    );
    if (hasEnded(child)) throw new Error(`Cannot serve the datastore: it ended\n${this.#log}`);
  }

  /** Freezes it: its sockets stay open and nothing answers. */
  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  /** Ends {@link pause}. */
  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  /** SIGTERM; resolves with its exit code. */
  async stop(): Promise<number | null> {
    return await this.#end("SIGTERM");
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** A client of it, closed after the test. */
  connect(t: TestContext): Connection {
    const connection = new Connection(this.target);
    t.after(() => connection.close());
    return connection;
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || hasEnded(child)) return child?.exitCode ?? null;
    const exited = once(child, "exit");
    child.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
