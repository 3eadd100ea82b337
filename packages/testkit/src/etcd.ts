import { join } from "node:path";
import { execa } from "execa";
import { freePort } from "./free-port.ts";
import { inNetwork, Program } from "./programs.ts";

/** Programs that users talk to a server with: of the component set, and of the etcd that is the contract of our API. */
export const ETCDCTLS = ["etcdctl", "etcdctl-3.5"] as const;
export type EtcdctlProgram = (typeof ETCDCTLS)[number];

/** A real etcd with one member, on loopback. */
export interface Etcd {
  /** What runs now. */
  readonly program: Program;
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** The same with its scheme. */
  readonly url: string;
  readonly dataDir: string;
  /** Starts it again after it was stopped or killed: same data and ports. */
  restart(): Promise<void>;
}

/** PEM files of an etcd that speaks TLS and lets in only clients with a certificate of `clientCa`. */
interface EtcdTls {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
}

/** Which etcd: that of the component set, which is older, or one whose behaviour is the contract of our API. */
type EtcdProgram = "etcd" | "etcd-3.5";

export interface EtcdOptions {
  /** Default: `etcd`. */
  readonly program?: EtcdProgram;
  readonly tls?: EtcdTls;
  /** Further arguments. */
  readonly args?: readonly string[];
  /** Name of the network namespace whose loopback it listens on; default: that of the test. */
  readonly network?: string;
}

/** Starts etcd on the data folder `etcd` inside `folder`, made when missing. The caller stops its program. */
export async function startEtcd(folder: string, options: EtcdOptions = {}): Promise<Etcd> {
  const { program: name = "etcd", tls, args: more = [], network } = options;
  const [clientPort, peerPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  const dataDir = join(folder, "etcd");
  const endpoint = `127.0.0.1:${clientPort}`;
  const url = `${tls === undefined ? "http" : "https"}://${endpoint}`;
  const metrics = `http://127.0.0.1:${metricsPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    `--data-dir=${dataDir}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-metrics-urls=${metrics}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    ...(tls === undefined ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`]),
    ...(tls === undefined ? [] : ["--client-cert-auth", `--trusted-ca-file=${tls.clientCa}`]),
    ...more,
  ];
  const start = () => run({ name, args, cwd: folder, network }, `${metrics}/health`);
  let program = await start();
  return {
    get program() {
      return program;
    },
    endpoint,
    url,
    dataDir,
    restart: async () => {
      program = await start();
    },
  };
}

interface Launch {
  readonly name: EtcdProgram;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly network: string | undefined;
}

async function run({ name, ...options }: Launch, health: string): Promise<Program> {
  const program = await Program.start(name, options);
  try {
    await program.ready("etcd is healthy", () => isHealthy(health, options.network));
  } catch (error) {
    await program.stop();
    throw error;
  }
  return program;
}

async function isHealthy(url: string, network: string | undefined): Promise<boolean> {
  if (network === undefined) return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  const [command, ...args] = inNetwork(network, ["curl", "-sfm", "2", url]);
  return (await execa(command, args)).exitCode === 0;
}
