import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DIST, writeImages } from "./test-images.ts";
import type { HostProcess, TestHost } from "./test-host.ts";
import { until } from "./until.ts";

/** Programs that may not outlive their supervisor. */
const CHILDREN = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "containerd"];

const READY_LIMIT_MS = 180_000;
const LOG_CHARS_MAX = 16 << 20;
/** What an error message shows of it. */
const LOG_CHARS_SHOWN = 20_000;

/** One k3s on a test host, server or agent, driven the way an operator drives it. */
export class K3sServer {
  readonly host: TestHost;
  /** The executable, as seen in the host. */
  readonly file: string;
  #server: ChildProcess | undefined;
  #log = "";
  #said: Promise<void> = Promise.resolve();

  constructor(host: TestHost, file = join(DIST, "k3s")) {
    this.host = host;
    this.file = file;
  }

  /** Lays the image archives out, as for a machine without internet. */
  async provideImages(): Promise<void> {
    await writeImages(this.host.outside("/var/lib/rancher/k3s/agent/images"));
  }

  /** Starts `k3s server` in the host; its log is kept for error messages. */
  start(...args: readonly string[]): void {
    this.#start("server", args);
  }

  /** Starts `k3s agent` in the host, likewise. */
  join(...args: readonly string[]): void {
    this.#start("agent", args);
  }

  #start(role: string, args: readonly string[]): void {
    const server = this.host.spawn(this.file, [role, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: Buffer) => {
      this.#log = (this.#log + chunk.toString()).slice(-LOG_CHARS_MAX);
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const output of [server.stdout, server.stderr]) {
      output?.on("data", keep);
      output?.once("data", () => resolve());
    }
    server.once("exit", () => resolve());
    this.#said = promise;
    this.#server = server;
  }

  /** Resolves when what was started last says something, or is gone. */
  said(): Promise<void> {
    return this.#said;
  }

  /** Resolves with the exit code of what was started last; null: a signal ended it. */
  async ended(): Promise<number | null> {
    const server = this.#server;
    if (server === undefined) throw new Error("Cannot wait for the end: never started");
    if (server.exitCode !== null || server.signalCode !== null) return server.exitCode;
    const [code] = (await once(server, "exit")) as [number | null];
    return code;
  }

  /** The newest of what the servers wrote to their log. */
  get log(): string {
    return this.#log;
  }

  /** Ends the server with SIGTERM and returns its exit code. */
  async stop(): Promise<number | null> {
    const server = this.#server;
    if (server === undefined) throw new Error("Cannot stop server: never started");
    const exited = once(server, "exit");
    const [pid] = await this.supervisors();
    if (pid === undefined) throw new Error(`Cannot stop server: not running\n${this.log.slice(-LOG_CHARS_SHOWN)}`);
    await this.host.run("kill", String(pid));
    const [code] = (await exited) as [number | null];
    return code;
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    return this.host.run(this.file, "kubectl", ...args);
  }

  /** Resolves once the node is Ready: the only one, or the named one. The server's last log lines are in the error when it does not become so. */
  async untilReady(...node: readonly [string] | readonly []): Promise<void> {
    const conditions = `{range .status.conditions[?(@.type=="Ready")]}{.status}{end}`;
    const path = node.length === 0 ? `{range .items[*]}${conditions}{end}` : conditions;
    const isReady = async () => (await this.kubectl("get", "nodes", ...node, "-o", `jsonpath=${path}`)) === "True";
    await until("the node is Ready", isReady, READY_LIMIT_MS).catch((error: unknown) => {
      const tail = this.log.slice(-LOG_CHARS_SHOWN);
      throw new Error(`The node did not become Ready; end of the log:\n${tail}`, { cause: error });
    });
  }

  /** Process ids, inside the host, of running supervisors. */
  async supervisors(): Promise<readonly number[]> {
    const processes = await this.host.processes();
    return processes
      .filter(({ commandLine }) => ["k3s server", "k3s agent"].includes(commandLine[0] ?? ""))
      .map(({ pid }) => pid);
  }

  /** The supervised programs that run in the host, by name. */
  async children(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    for (const process of await this.host.processes()) {
      const name = programOf(process);
      if (CHILDREN.includes(name)) found.set(name, process.pid);
    }
    return found;
  }
}

function programOf({ commandLine }: HostProcess): string {
  return commandLine[0]?.split("/").at(-1) ?? "";
}
