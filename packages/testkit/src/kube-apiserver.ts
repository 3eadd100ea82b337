import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { Program } from "./programs.ts";

export interface KubeApiserverOptions {
  /** Working folder, also for its certificates: a relative unix socket in `etcdServers` is looked for here. */
  readonly folder: string;
  /** Value of --etcd-servers. */
  readonly etcdServers: string;
  readonly args?: readonly string[];
  /** Default: a free one. */
  readonly port?: number;
}

/** HTTP status and body of an answer, whatever the status is. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

const TOKEN = "test-token-of-an-administrator";
const READY_WITHIN_MS = 90_000;

/** A real kube-apiserver on loopback, with nothing around it but its datastore, and a client that may do everything. */
export class KubeApiserver {
  readonly program: Program;
  readonly port: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64, rejectUnauthorized: false });

  private constructor(program: Program, port: number) {
    this.program = program;
    this.port = port;
  }

  /** Resolves when /readyz says so. The caller stops it. */
  static async start(options: KubeApiserverOptions): Promise<KubeApiserver> {
    const port = options.port ?? (await freePort());
    const args = [...(await argumentsFor(options.folder)), `--secure-port=${port}`, ...(options.args ?? [])];
    const program = await Program.start("kube-apiserver", {
      args: [...args, `--etcd-servers=${options.etcdServers}`],
      cwd: options.folder,
    });
    const server = new KubeApiserver(program, port);
    try {
      await program.ready("kube-apiserver is ready", () => server.#isReady(), READY_WITHIN_MS);
    } catch (error) {
      await server.stop();
      throw new Error(`Cannot use kube-apiserver: it is not ready\n${program.output}`, { cause: error });
    }
    return server;
  }

  /** One call of the Kubernetes API; PATCH takes a merge patch. Rejects only when there is no answer. */
  async request(method: string, path: string, object?: unknown): Promise<ApiAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<ApiAnswer>();
    const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const headers = { authorization: `Bearer ${TOKEN}`, "content-type": contentType };
    const call = request(
      { host: "127.0.0.1", port: this.port, method, path, headers, agent: this.#agent },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
        );
      },
    );
    call.on("error", reject);
    call.end(object === undefined ? undefined : JSON.stringify(object));
    return promise;
  }

  /** The lines of a streaming call, such as a watch, until `signal` aborts. */
  async *lines(path: string, signal: AbortSignal): AsyncGenerator<string> {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const { promise, resolve, reject } = Promise.withResolvers<AsyncIterable<Buffer>>();
    const options = { host: "127.0.0.1", port: this.port, path, headers, agent: this.#agent, signal };
    request(options, resolve).on("error", reject).end();
    let rest = "";
    for await (const chunk of await promise) {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    await this.program.stop();
  }

  async #isReady(): Promise<boolean> {
    return (await this.request("GET", "/readyz")).status === 200;
  }
}

async function argumentsFor(folder: string): Promise<string[]> {
  const keyFile = join(folder, "service.key");
  const tokenFile = join(folder, "tokens.csv");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await writeFile(tokenFile, `${TOKEN},admin,admin,system:masters\n`, { mode: 0o600 });
  return [
    `--cert-dir=${join(folder, "apiserver")}`,
    `--token-auth-file=${tokenFile}`,
    `--service-account-key-file=${keyFile}`,
    `--service-account-signing-key-file=${keyFile}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    "--service-cluster-ip-range=10.43.0.0/16",
    "--authorization-mode=RBAC",
    "--bind-address=127.0.0.1",
    "--anonymous-auth=false",
  ];
}
