import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@k3s/log";
import { ensureAgentPki, ensureServerPki } from "@k3s/pki";
import { CONNECT_PATH, TunnelServer } from "@k3s/tunnel";

export interface TunnelRigOptions {
  readonly isTls: boolean;
  /** Added in each direction; 0: no proxy. */
  readonly delayMs: number;
}

interface Usage {
  readonly rss: number;
  readonly cpu: { readonly user: number; readonly system: number };
}

/** A tunnel server in this process, a node, what the node reaches, and the network between them, each a process of its own. */
export class TunnelRig implements AsyncDisposable {
  readonly tunnels: TunnelServer;
  /** For dial(). */
  readonly address: string;
  readonly #agent: ChildProcess;
  readonly #undo: AsyncDisposableStack;

  private constructor(parts: {
    tunnels: TunnelServer;
    address: string;
    agent: ChildProcess;
    undo: AsyncDisposableStack;
  }) {
    this.tunnels = parts.tunnels;
    this.address = parts.address;
    this.#agent = parts.agent;
    this.#undo = parts.undo;
  }

  static async start({ isTls, delayMs }: TunnelRigOptions): Promise<TunnelRig> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "k3s-bench-tunnel-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const tunnels = new TunnelServer({
      log: createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) }),
    });
    const http = isTls ? createHttpsServer(await serverTls(folder)) : createHttpServer();
    const node = { nodeName: "bench", remoteAddress: "127.0.0.1" };
    http.on("upgrade", (request, socket, head) => tunnels.accept({ request, socket, head, ...node }));
    http.listen(0, "127.0.0.1");
    undo.defer(() => void http.close());
    undo.defer(() => tunnels.close());
    await once(http, "listening");
    let { port } = http.address() as AddressInfo;
    if (delayMs > 0) port = Number((await child(undo, "tunnel-path.ts", [String(port), String(delayMs)])).said);
    const target = await child(undo, "tunnel-target.ts", []);
    const url = `${isTls ? "wss" : "ws"}://127.0.0.1:${port}${CONNECT_PATH}`;
    const agent = await child(undo, "tunnel-agent.ts", isTls ? [url, join(folder, "agent")] : [url]);
    const address = `127.0.0.1:${String(target.said)}`;
    return new TunnelRig({ tunnels, address, agent: agent.process, undo: undo.move() });
  }

  async agentUsage(): Promise<Usage> {
    this.#agent.send("usage");
    const [usage] = (await once(this.#agent, "message")) as [Usage];
    return usage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

async function child(undo: AsyncDisposableStack, name: string, args: readonly string[]) {
  const process = fork(join(import.meta.dirname, "..", name), args);
  undo.defer(() => void process.kill("SIGKILL"));
  const [said] = (await once(process, "message")) as [unknown];
  return { process, said };
}

async function serverTls(folder: string) {
  const serverDir = join(folder, "server");
  const shared = { serverDir, apiServerUrl: "https://127.0.0.1:6444" };
  const { tls } = await ensureServerPki({ ...shared, clusterDomain: "cluster.local", sans: ["127.0.0.1"] });
  await ensureAgentPki({ ...shared, agentDir: join(folder, "agent"), nodeName: "bench", nodeIps: ["127.0.0.1"] });
  return {
    cert: await readFile(tls.servingApiServer.cert),
    key: await readFile(tls.servingApiServer.key),
    ca: await readFile(tls.clientCa.cert),
    requestCert: true,
  };
}
