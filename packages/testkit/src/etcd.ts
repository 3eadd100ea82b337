import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { Program } from "./programs.ts";
import { until } from "./until.ts";

/** A real etcd with one member, on loopback. */
export interface Etcd {
  readonly program: Program;
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** The same with its scheme. */
  readonly url: string;
  readonly dataDir: string;
}

/** PEM files of an etcd that speaks TLS and lets in only clients with a certificate of `clientCa`. */
export interface EtcdTls {
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
  const program = await Program.start("etcd", { args, cwd: folder });
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
  return { program, endpoint, url, dataDir };
}
