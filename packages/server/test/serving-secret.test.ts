import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { json } from "node:stream/consumers";
import { Latest } from "@k3s/async";
import { kubeClientFromFiles } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { DynamicCertificate, ensureServerPki, serverTlsPaths, type ServingSecret } from "@k3s/pki";
import { ServingSecretKeeper } from "../src/serving-secret.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });

interface Stored {
  readonly metadata: { readonly resourceVersion: string; readonly annotations: Readonly<Record<string, string>> };
  readonly data: ServingSecret["data"];
}

interface Body {
  readonly metadata: { readonly resourceVersion?: string; readonly annotations: Record<string, string | null> };
  readonly data: ServingSecret["data"];
}

/** As much of kube-apiserver as one Secret needs: list, watch, create, and a merge patch bound to a version. */
class OneSecret {
  readonly secret = new Latest<Stored | undefined>(undefined);
  /** Changes the Secret behind the next patch's back. */
  beforePatch: (() => void) | undefined;
  readonly isWatched = new Latest(false);
  readonly #watches = new Set<ServerResponse>();
  #version = 1;

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = "" } = request;
    if (url.includes("watch=true")) {
      this.#watch(response);
      return;
    }
    if (method === "GET") {
      send(response, 200, { items: this.#items(), metadata: { resourceVersion: "1" } });
      return;
    }
    const body = (await json(request)) as Body;
    if (method === "PATCH") this.beforePatch?.();
    const expected = method === "POST" ? undefined : body.metadata.resourceVersion;
    if (this.secret.get()?.metadata.resourceVersion !== expected) {
      send(response, 409, { kind: "Status", reason: "Conflict" });
      return;
    }
    const merged = { ...this.secret.get()?.metadata.annotations, ...body.metadata.annotations };
    const annotations = Object.entries(merged).filter(([, value]) => value !== null);
    this.put({ annotations: Object.fromEntries(annotations) as Record<string, string>, data: body.data });
    send(response, 200, this.secret.get() ?? {});
  }

  put({ annotations, data }: { annotations: Readonly<Record<string, string>>; data: ServingSecret["data"] }): void {
    const metadata = { name: "k3s-serving", resourceVersion: String(++this.#version), annotations };
    this.secret.set({ metadata, data });
    this.#tell("MODIFIED");
  }

  remove(): void {
    this.#tell("DELETED");
    this.secret.set(undefined);
  }

  #watch(response: ServerResponse): void {
    response.writeHead(200).flushHeaders();
    this.#watches.add(response);
    this.isWatched.set(true);
    for (const object of this.#items()) response.write(`${JSON.stringify({ type: "ADDED", object })}\n`);
  }

  #tell(type: string): void {
    for (const response of this.#watches) response.write(`${JSON.stringify({ type, object: this.secret.get() })}\n`);
  }

  #items(): readonly Stored[] {
    const secret = this.secret.get();
    return secret === undefined ? [] : [secret];
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function setUp(t: TestContext) {
  const serverDir = await mkdtemp(join(tmpdir(), "k3s-serving-"));
  t.after(() => rm(serverDir, { recursive: true, force: true }));
  const sans = ["localhost", "127.0.0.1"];
  await ensureServerPki({ serverDir, clusterDomain: "cluster.local", sans, apiServerUrl: "https://127.0.0.1:6444" });
  const certificate = await DynamicCertificate.open({ serverDir, configuredNames: sans, log });
  const api = new OneSecret();
  const { certPem: cert, keyPem: key } = certificate.current.get();
  const server = createServer({ cert, key }, (request, response) => void api.answer(request, response));
  server.listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { serverCa, clientSupervisor: pair } = serverTlsPaths(serverDir);
  const files = { caFile: serverCa.cert, certFile: pair.cert, keyFile: pair.key, userAgent: "test" };
  const client = await kubeClientFromFiles({ server: `https://127.0.0.1:${port}`, ...files });
  t.after(() => client.close());
  const keeper = new ServingSecretKeeper({ client: () => client, certificate: () => certificate, log });
  t.after(() => keeper.stop());
  await keeper.start();
  const becomes = (accept: (secret: Stored | undefined) => boolean) =>
    api.secret.until(accept, AbortSignal.timeout(20_000));
  const isServed = (secret: Stored | undefined) =>
    secret?.data["tls.crt"] === certificate.toSecret().data["tls.crt"] &&
    Object.values(secret.metadata.annotations).includes("localhost");
  await becomes(isServed);
  await api.isWatched.until(Boolean, AbortSignal.timeout(20_000)); // what happens before is not replayed here
  return { serverDir, sans, certificate, api, becomes, isServed };
}

describe("ServingSecretKeeper", () => {
  test("writes a changed certificate into the Secret, also when somebody else writes at the same time", async (t) => {
    const { certificate, api, becomes, isServed } = await setUp(t);
    api.beforePatch = () => {
      api.beforePatch = undefined;
      const { metadata, data } = certificate.toSecret();
      api.put({ annotations: { ...metadata.annotations, theirs: "kept" }, data: { ...data, "tls.key": "" } });
    };
    await certificate.offerNames(["new.example"]);
    const secret = await becomes((now) => isServed(now) && now?.data["tls.key"] !== "");
    assert.ok(Object.values(secret?.metadata.annotations ?? {}).includes("new.example"));
    assert.equal(secret?.metadata.annotations["theirs"], "kept");
  });

  test("takes the names of the Secret over", async (t) => {
    const { serverDir, sans, certificate, api, becomes, isServed } = await setUp(t);
    const theirs = await DynamicCertificate.open({ serverDir, configuredNames: sans, log });
    await theirs.offerNames(["other.example"]);
    const { metadata, data } = theirs.toSecret();
    api.put({ annotations: metadata.annotations, data });
    await certificate.current.until(({ names }) => names.includes("other.example"), AbortSignal.timeout(20_000));
    await becomes(isServed);
  });

  test("mends a Secret that holds no certificate, and makes a removed one again", async (t) => {
    const { api, becomes, isServed } = await setUp(t);
    api.put({ annotations: { "listener.cattle.io/cn-gone": "gone" }, data: { "tls.crt": "AAAA", "tls.key": "" } });
    const mended = await becomes(isServed);
    assert.ok(!Object.values(mended?.metadata.annotations ?? {}).includes("gone"));
    api.remove();
    await becomes(isServed);
  });
});
