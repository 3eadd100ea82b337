import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { KubernetesEndpoint } from "../src/kubernetes-endpoint.ts";
import { testCertificate } from "./test-certificate.ts";

interface Published {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly subsets: unknown;
}

const SUBSETS = [{ addresses: [{ ip: "192.0.2.10" }], ports: [{ name: "https", port: 6443, protocol: "TCP" }] }];

/** As much of an API server as the component talks to: applies, lists and watches one object. */
async function fakeApi(t: TestContext) {
  const pair = await testCertificate(t);
  const [cert, key] = await Promise.all([readFile(pair.cert, "utf8"), readFile(pair.key, "utf8")]);
  const applied = new Latest<readonly Published[]>([]);
  const watches = new Latest<readonly ServerResponse[]>([]);
  let failures = 0;
  const server = createServer({ cert, key }, (request, response) => {
    const url = new URL(request.url ?? "", "https://localhost");
    if (request.method === "PATCH") {
      void text(request).then((body) => {
        if (failures-- > 0) return response.writeHead(404).end("{}");
        const object = JSON.parse(body) as Published; // what the component under test has sent
        applied.set([...applied.get(), object]);
        return response.end(body);
      });
    } else if (url.searchParams.has("watch")) {
      response.writeHead(200).flushHeaders();
      watches.set([...watches.get(), response]);
    } else response.end(JSON.stringify({ items: applied.get().slice(-1), metadata: { resourceVersion: "1" } }));
  });
  server.listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is no string
  const client = new KubeClient({ server: `https://127.0.0.1:${port}`, ca: cert, cert, key, userAgent: "test" });
  t.after(() => client.close());
  const fail = (times: number) => {
    failures = times;
  };
  return { client, applied, watches, fail };
}

describe("KubernetesEndpoint", () => {
  const limit = () => AbortSignal.timeout(10_000);
  const log = createLogger({ level: "error", format: "text", write: () => undefined });

  async function start(t: TestContext, api: Awaited<ReturnType<typeof fakeApi>>) {
    const servers = {
      current: () => Promise.resolve(["192.0.2.10"]),
      everyMs: undefined,
      leave: () => Promise.resolve([]),
    };
    const options = { client: () => api.client, servers, port: 6443, log };
    const endpoint = new KubernetesEndpoint(options);
    t.after(() => endpoint.stop());
    await endpoint.start({ signal: limit(), lost: (error) => assert.ifError(error) });
    return endpoint;
  }
  const changed = (type: string, subsets: unknown) =>
    `${JSON.stringify({ type, object: { metadata: { name: "kubernetes", resourceVersion: "2" }, subsets } })}\n`;

  test("start() publishes the address and port of the supervisor", async (t) => {
    const api = await fakeApi(t);
    await start(t, api);
    const [published] = api.applied.get();
    assert.deepEqual(published?.metadata, { name: "kubernetes", namespace: "default" });
    assert.deepEqual(published.subsets, SUBSETS);
  });

  test("start() tries again while the namespace is not there yet", async (t) => {
    const api = await fakeApi(t);
    api.fail(2);
    await start(t, api);
    assert.equal(api.applied.get().length, 1);
  });

  for (const [type, subsets] of [
    ["MODIFIED", []],
    ["DELETED", SUBSETS],
  ] as const)
    test(`publishes again after ${type}`, async (t) => {
      const api = await fakeApi(t);
      await start(t, api);
      const [watch] = await api.watches.until((all) => all.length > 0, limit());
      watch?.write(changed(type, subsets));
      const all = await api.applied.until((objects) => objects.length > 1, limit());
      assert.deepEqual(all[1]?.subsets, SUBSETS);
    });

  test("says once that it cannot publish, and once that it can again", async (t) => {
    const api = await fakeApi(t);
    const lines = new Latest<readonly string[]>([]);
    const write = (line: string) => lines.set([...lines.get(), line]);
    const quiet = createLogger({ level: "info", format: "text", write });
    const trouble = new Latest(0);
    let isDown = false;
    const current = () => {
      if (!isDown) return Promise.resolve(["192.0.2.10"]);
      trouble.set(trouble.get() + 1);
      return Promise.reject(new Error("nobody answers"));
    };
    const servers = { current, everyMs: 5, leave: () => Promise.resolve([]) };
    const endpoint = new KubernetesEndpoint({ client: () => api.client, servers, port: 6443, log: quiet });
    t.after(() => endpoint.stop());
    await endpoint.start({ signal: limit(), lost: (error) => assert.ifError(error) });
    for (const round of [1, 2]) {
      isDown = true;
      const before = trouble.get();
      await trouble.until((times) => times > before + 2, limit());
      isDown = false;
      await lines.until((all) => all.length === round * 2, limit());
    }
    assert.match(
      lines.get().join(""),
      /^.* WARN .*could not.*\n.* INFO .*again.*\n.* WARN .*could not.*\n.* INFO .*again.*\n$/,
    );
  });

  test("stop() ends the watch and may be called twice", async (t) => {
    const api = await fakeApi(t);
    const endpoint = await start(t, api);
    const [watch] = await api.watches.until((all) => all.length > 0, limit());
    const closed = watch === undefined ? Promise.reject(new Error("no watch")) : once(watch, "close");
    await endpoint.stop();
    await closed;
    await endpoint.stop();
  });
});
