import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEtcd, until } from "@k3s/testkit";
import type { CaseServer, ServerOptions } from "./server-kind.ts";

type Etcd = Awaited<ReturnType<typeof startEtcd>>;

const PROGRESS_INTERVAL_MS = 100;

/** A real etcd with one member and an empty store. */
export async function startEtcdServer(options: ServerOptions): Promise<CaseServer> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-cases-"));
  try {
    return new EtcdServer(folder, options, await launch(folder, options));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class EtcdServer implements CaseServer {
  readonly kind = "etcd";
  readonly folder: string;
  readonly #options: ServerOptions;
  #etcd: Etcd;

  constructor(folder: string, options: ServerOptions, etcd: Etcd) {
    this.folder = folder;
    this.#options = options;
    this.#etcd = etcd;
  }

  get port(): number {
    return Number(this.#etcd.endpoint.split(":").at(-1));
  }

  get pid(): number {
    return this.#etcd.program.pid;
  }

  async restart(how: "SIGTERM" | "SIGKILL"): Promise<void> {
    const { program } = this.#etcd;
    if (how === "SIGKILL") {
      process.kill(program.pid, "SIGKILL");
      await until("etcd is gone", () => Promise.resolve(program.hasExited));
    } else await program.stop();
    this.#etcd = await launch(this.folder, this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#etcd.program.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function launch(folder: string, { tls, progressIntervalMs = PROGRESS_INTERVAL_MS }: ServerOptions): Promise<Etcd> {
  const args = [`--experimental-watch-progress-notify-interval=${progressIntervalMs}ms`];
  return startEtcd(folder, { program: "etcd-3.5", args, ...(tls === undefined ? {} : { tls }) });
}
