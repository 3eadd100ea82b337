import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { freezeProcess } from "./freeze-process.ts";
import { Program } from "./programs.ts";
import { until } from "./until.ts";

export interface NatsServerOptions {
  /** More of nats-server's configuration, in its own form: users, TLS, limits. */
  readonly config?: string;
}

/** A real nats-server with JetStream on loopback, on the same port and with the same data through restarts. */
export class NatsServer {
  readonly port: number;
  readonly #folder: string;
  #program: Program;

  private constructor(folder: string, port: number, program: Program) {
    this.#folder = folder;
    this.port = port;
    this.#program = program;
  }

  /** Starts it with its files inside `folder`. The caller stops it. */
  static async start(folder: string, { config = "" }: NatsServerOptions = {}): Promise<NatsServer> {
    const port = await freePort();
    const data = join(folder, "jetstream");
    await mkdir(data, { recursive: true });
    const listen = `host: "127.0.0.1"\nport: ${port}\n`;
    await writeFile(join(folder, "nats.conf"), `${listen}jetstream { store_dir: "${data}" }\n${config}\n`);
    return new NatsServer(folder, port, await run(folder, port));
  }

  /** `host:port` for clients. */
  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#program.pid;
  }

  /** The newest of its log. */
  get output(): string {
    return this.#program.output;
  }

  /** Starts it again after {@link stop} or {@link kill}. */
  async restart(): Promise<void> {
    this.#program = await run(this.#folder, this.port);
  }

  /** SIGTERM; also when it is frozen. Resolves when it is gone; may be called twice. */
  async stop(): Promise<void> {
    if (!this.#program.hasExited) this.thaw();
    await this.#program.stop();
  }

  /** SIGKILL. Resolves when it is gone. */
  async kill(): Promise<void> {
    const program = this.#program;
    if (!program.hasExited) process.kill(program.pid, "SIGKILL");
    await program.stop();
  }

  /** Nothing answers any more, but connections stay. */
  async freeze(): Promise<void> {
    await freezeProcess(this.#program.pid);
  }

  thaw(): void {
    process.kill(this.#program.pid, "SIGCONT");
  }
}

async function run(folder: string, port: number): Promise<Program> {
  const program = await Program.start("nats-server", { args: ["-c", join(folder, "nats.conf")], cwd: folder });
  try {
    await until("nats-server is ready", async () => {
      if (program.hasExited) throw new Error(`Cannot use nats-server: it ended\n${program.output}`);
      return program.output.includes("Server is ready") && (await takesConnections(port));
    });
  } catch (error) {
    await program.stop();
    throw error;
  }
  return program;
}

async function takesConnections(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}
