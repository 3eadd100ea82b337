import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { freezeProcess } from "./freeze-process.ts";
import { Program } from "./programs.ts";

/** What a nats-server of a test has beyond the defaults. */
export interface NatsServerOptions {
  /** More of nats-server's configuration, in its own form: users, TLS, limits. */
  readonly config?: string;
  /** Name of the network namespace whose loopback it listens on; default: that of the test. */
  readonly network?: string;
}

/** A real nats-server with JetStream on loopback, on the same port and with the same data through restarts. */
export class NatsServer {
  readonly port: number;
  readonly #place: Place;
  #program: Program;

  private constructor(place: Place, port: number, program: Program) {
    this.#place = place;
    this.port = port;
    this.#program = program;
  }

  /** Starts it with its files inside `folder`. The caller stops it. */
  static async start(folder: string, { config = "", network }: NatsServerOptions = {}): Promise<NatsServer> {
    const port = await freePort();
    const data = join(folder, "jetstream");
    await mkdir(data, { recursive: true });
    const listen = `host: "127.0.0.1"\nport: ${port}\n`;
    await writeFile(join(folder, "nats.conf"), `${listen}jetstream { store_dir: "${data}" }\n${config}\n`);
    const place = { folder, network };
    return new NatsServer(place, port, await run(place));
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
    this.#program = await run(this.#place);
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

interface Place {
  readonly folder: string;
  readonly network: string | undefined;
}

async function run({ folder, network }: Place): Promise<Program> {
  const args = ["-c", join(folder, "nats.conf")];
  const program = await Program.start("nats-server", { args, cwd: folder, network });
  try {
    await program.ready("nats-server is ready", () => Promise.resolve(program.output.includes("Server is ready"))); // it listens by then
  } catch (error) {
    await program.stop();
    throw error;
  }
  return program;
}
