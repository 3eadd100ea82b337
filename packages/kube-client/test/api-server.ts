import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { KubeClient } from "../src/index.ts";

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly contentType: string | undefined;
  readonly body: string;
}

type Answer = (seen: Seen, response: ServerResponse) => void;

/** An HTTPS server that answers as `answer` says, and a client for it. Requests are recorded in order. */
export async function startApiServer(
  t: TestContext,
  answer: Answer,
): Promise<{ readonly client: KubeClient; readonly seen: readonly Seen[] }> {
  const { cert, key } = await selfSigned(t);
  const seen: Seen[] = [];
  const onRequest = async (request: IncomingMessage, response: ServerResponse) => {
    const entry = {
      method: request.method ?? "",
      url: request.url ?? "",
      contentType: request.headers["content-type"],
      body: await text(request),
    };
    seen.push(entry);
    answer(entry, response);
  };
  const server = createServer(
    { cert, key, requestCert: true, rejectUnauthorized: false },
    (request, response) => void onRequest(request, response),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  const client = new KubeClient({ server: `https://127.0.0.1:${port}`, ca: cert, cert, key, userAgent: "test" });
  t.after(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, seen };
}

async function selfSigned(t: TestContext): Promise<{ readonly cert: string; readonly key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-kube-client-"));
  t.after(() => rm(folder, { recursive: true }));
  const [cert, key] = [join(folder, "crt"), join(folder, "key")];
  const subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", cert, ...subject]);
  return { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
}
