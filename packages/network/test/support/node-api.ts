import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { promisify } from "node:util";
import { KubeClient } from "@k3s/kube-client";
import type { NetworkNode } from "../../src/lease.ts";

interface Patch {
  readonly metadata: { readonly annotations: Readonly<Record<string, string | null>> };
}

/** As much of an API server as the pod network talks to: nodes, listed, watched and patched. */
export class NodeApi implements AsyncDisposable {
  readonly nodes = new Map<string, NetworkNode>();
  /** Who listed nodes, by user agent. */
  readonly listers: string[] = [];
  /** Paths of patches, in order. */
  readonly patched: string[] = [];
  /** Whether a kubelet may list nodes. */
  mayList = true;
  readonly #server: Server;
  readonly #watches = new Set<ServerResponse>();
  readonly #clients: KubeClient[] = [];
  readonly #pair: { readonly cert: string; readonly key: string };

  private constructor(pair: { readonly cert: string; readonly key: string }) {
    this.#pair = pair;
    this.#server = createServer({ ...pair }, (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<NodeApi> {
    const api = new NodeApi(await selfSigned());
    api.#server.listen(0, "127.0.0.1");
    await once(api.#server, "listening");
    return api;
  }

  client(userAgent: string): KubeClient {
    const { port } = this.#server.address() as AddressInfo; // a TCP server's address is never a string
    const { cert, key } = this.#pair;
    const client = new KubeClient({ server: `https://127.0.0.1:${port}`, ca: cert, cert, key, userAgent });
    this.#clients.push(client);
    return client;
  }

  set(node: NetworkNode): void {
    const type = this.nodes.has(node.metadata.name) ? "MODIFIED" : "ADDED";
    this.nodes.set(node.metadata.name, node);
    this.#tell(type, node);
  }

  delete(name: string): void {
    const node = this.nodes.get(name);
    this.nodes.delete(name);
    if (node !== undefined) this.#tell("DELETED", node);
  }

  /** Removes a node that nobody watches, as during an outage: only the next list shows it. */
  deleteUnseen(name: string): void {
    this.nodes.delete(name);
    for (const watch of this.#watches) watch.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    this.#server.closeAllConnections();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }

  #tell(type: string, object: NetworkNode): void {
    for (const watch of this.#watches) watch.write(`${JSON.stringify({ type, object })}\n`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "https://api");
    if (url.pathname.endsWith("/selfsubjectaccessreviews")) {
      response.end(JSON.stringify({ status: { allowed: this.mayList } }));
    } else if (request.method === "PATCH") {
      this.patched.push(url.pathname);
      response.end(JSON.stringify(this.#patch(url.pathname.split("/")[4] ?? "", (await json(request)) as Patch)));
    } else if (url.searchParams.has("watch")) {
      this.#watches.add(response);
      response.on("close", () => this.#watches.delete(response));
      response.flushHeaders();
    } else {
      this.listers.push(request.headers["user-agent"] ?? "");
      response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items: [...this.nodes.values()] }));
    }
  }

  #patch(name: string, { metadata: { annotations } }: Patch): NetworkNode {
    const node = this.nodes.get(name) ?? { metadata: { name } };
    const merged = Object.entries({ ...node.metadata.annotations, ...annotations });
    const kept = merged.filter((entry): entry is [string, string] => entry[1] !== null);
    const next = { ...node, metadata: { ...node.metadata, annotations: Object.fromEntries(kept) } };
    this.set(next);
    return next;
  }
}

async function selfSigned(): Promise<{ readonly cert: string; readonly key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-node-api-"));
  try {
    const [cert, key] = [join(folder, "crt"), join(folder, "key")];
    const subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
    await promisify(execFile)("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", cert, ...subject]);
    return { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
  } finally {
    await rm(folder, { recursive: true });
  }
}
