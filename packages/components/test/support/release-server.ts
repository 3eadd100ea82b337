import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** What goes wrong with one request for a file, before the server serves it well. */
export type Fault =
  | { readonly kind: "cut"; readonly afterBytes: number }
  | { readonly kind: "stall"; readonly afterBytes: number }
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "ignore-range" }
  | { readonly kind: "hold"; readonly until: Promise<void> };

/**
 * Serves files the way release servers do: large ones behind a redirect to another address, ranges honoured, lists of
 * checksums beside them. The host of an address is the first folder of its path, as on a mirror.
 */
export class ReleaseServer {
  readonly url: string;
  /** Each request as `path` or `path bytes=…`, in order. */
  readonly requests: string[] = [];
  readonly #files = new Map<string, Buffer>();
  readonly #faults = new Map<string, Fault[]>();

  private constructor(url: string) {
    this.url = url;
  }

  static async start(t: TestContext): Promise<ReleaseServer> {
    const http = createServer((request, response) => server.#serve(request, response));
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      http.closeAllConnections();
      http.close();
    });
    const server = new ReleaseServer(`http://127.0.0.1:${(http.address() as AddressInfo).port}`);
    return server;
  }

  add(path: string, content: string | Buffer): void {
    this.#files.set(path, Buffer.from(content));
  }

  paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Adds the fault to those that the next requests for the file meet, one each. */
  fail(path: string, fault: Fault): void {
    this.#faults.set(path, [...(this.#faults.get(path) ?? []), fault]);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? "/").slice(1);
    const range = request.headers.range;
    this.requests.push(range === undefined ? path : `${path} ${range}`);
    if (path.startsWith("storage/")) {
      this.#serveFile(path.slice("storage/".length), range, response);
    } else if (this.#files.has(path)) {
      response.writeHead(302, { location: `${this.url}/storage/${path}` }).end();
    } else {
      response.writeHead(404).end("Not Found");
    }
  }

  #serveFile(path: string, range: string | undefined, response: ServerResponse): void {
    const content = this.#files.get(path) ?? Buffer.alloc(0);
    const fault = this.#faults.get(path)?.shift();
    if (fault?.kind === "status") return void response.writeHead(fault.status).end();
    const start = fault?.kind === "ignore-range" ? 0 : startOf(range);
    if (start > 0 && start >= content.length)
      return void response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
    const body = content.subarray(start);
    const span = { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
    response.writeHead(start > 0 ? 206 : 200, { "content-length": body.length, ...(start > 0 ? span : {}) });
    sendBody(response, body, fault);
  }
}

function startOf(range: string | undefined): number {
  return Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
}

function sendBody(response: ServerResponse, body: Buffer, fault: Fault | undefined): void {
  if (fault?.kind === "cut") response.write(body.subarray(0, fault.afterBytes), () => response.socket?.end());
  else if (fault?.kind === "stall") response.write(body.subarray(0, fault.afterBytes));
  else if (fault?.kind === "hold") void fault.until.then(() => response.end(body));
  else response.end(body);
}

export function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
