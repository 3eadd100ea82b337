import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { Program, type ProgramOptions } from "./programs.ts";
import { until } from "./until.ts";

/** A real etcd with one member, on loopback. */
export interface Etcd {
  /** The newest; {@link restart} makes another one. */
  readonly program: Program;
  /** After its end: same data and ports. */
  restart(): Promise<void>;
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** The same with its scheme. */
  readonly url: string;
  readonly dataDir: string;
}

/** PEM files of an etcd that speaks TLS and lets in only clients with a certificate of `clientCa`. */
interface EtcdTls {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
}

export interface EtcdOptions {
  readonly tls?: EtcdTls;
  /** Further arguments. */
  readonly args?: readonly string[];
}

/** Starts etcd on the data folder `etcd` inside `folder`, made when missing. The caller stops its program. */
export async function startEtcd(folder: string, { tls, args: more = [] }: EtcdOptions = {}): Promise<Etcd> {
  const [clientPort, peerPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  const dataDir = join(folder, "etcd");
  const endpoint = `127.0.0.1:${clientPort}`;
  const url = `${tls === undefined ? "http" : "https"}://${endpoint}`;
  const health = `http://127.0.0.1:${metricsPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    `--data-dir=${dataDir}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-metrics-urls=${health}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    ...(tls === undefined ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`]),
    ...(tls === undefined ? [] : ["--client-cert-auth", `--trusted-ca-file=${tls.clientCa}`]),
    ...more,
  ];
  const start = () => run({ args, cwd: folder }, health);
  let program = await start();
  return {
    get program() {
      return program;
    },
    restart: async () => {
      program = await start();
    },
    ...{ endpoint, url, dataDir },
  };
}

/** Resolves once it is healthy. */
async function run(options: ProgramOptions, health: string): Promise<Program> {
  const program = await Program.start("etcd", options);
  try {
    await until("etcd is healthy", async () => {
      if (program.hasExited) throw new Error(`Cannot use etcd: it ended\n${program.output}`);
      const answer = await fetch(`${health}/health`);
      return answer.ok;
    });
  } catch (error) {
    await program.stop();
    throw error;
  }
  return program;
}
