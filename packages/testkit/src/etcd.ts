import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { Program } from "./programs.ts";
import { until } from "./until.ts";

/** A real etcd with one member and no TLS, on loopback. */
export interface Etcd {
  readonly program: Program;
  /** `host:port` for clients. */
  readonly endpoint: string;
  readonly dataDir: string;
}

/** Starts etcd on the data folder `etcd` inside `folder`, made when missing. The caller stops its program. */
export async function startEtcd(folder: string, more: readonly string[] = []): Promise<Etcd> {
  const [clientPort, peerPort] = [await freePort(), await freePort()];
  const dataDir = join(folder, "etcd");
  const endpoint = `127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    `--data-dir=${dataDir}`,
    `--listen-client-urls=http://${endpoint}`,
    `--advertise-client-urls=http://${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    ...more,
  ];
  const program = await Program.start("etcd", { args, cwd: folder });
  try {
    await until("etcd is healthy", async () => {
      if (program.hasExited) throw new Error(`Cannot use etcd: it ended\n${program.output}`);
      const answer = await fetch(`http://${endpoint}/health`);
      return answer.ok;
    });
  } catch (error) {
    await program.stop();
    throw error;
  }
  return { program, endpoint, dataDir };
}
