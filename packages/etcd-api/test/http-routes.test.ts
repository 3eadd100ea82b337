import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { StoreError, type RangeQuery } from "@k3s/datastore";
import { findProgram } from "@k3s/testkit";
import { onEachTransport, startApi, type TestApi } from "./support/api.ts";
import { rangeRequest } from "@k3s/testkit";

const tcp = { host: "127.0.0.1", port: 0 };
const unavailable = new StoreError("unavailable", "Cannot read: the database is gone");
const url = (api: TestApi, path: string) => `http://127.0.0.1:${api.server.tcpPort}${path}`;

onEachTransport((startApi) => {
  describe("plain HTTP on the same port", () => {
    test("/health says true while the store can be read, and 503 when not", async (t) => {
      const api = await startApi(t, { tcp });
      const healthy = await fetch(url(api, "/health"));
      assert.equal(healthy.headers.get("content-type"), "application/json");
      assert.deepEqual([healthy.status, await healthy.text()], [200, '{"health":"true","reason":""}']);
      const range = t.mock.method(api.store, "range", () => Promise.reject(unavailable));
      const sick = await fetch(url(api, "/health"));
      const reason = "RANGE ERROR:etcdserver: request timed out";
      assert.deepEqual([sick.status, await sick.json()], [503, { health: "false", reason }]);
      assert.equal(range.mock.callCount(), 1);
    });

    test("/livez and /readyz say ok while the store can be read, each check alone too, and which failed when not", async (t) => {
      const api = await startApi(t, { tcp });
      const ask = async (path: string) => {
        const answer = await fetch(url(api, path));
        return [answer.status, await answer.text()];
      };
      const checks = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];
      const paths = ["/livez", "/livez/serializable_read", "/readyz", ...checks.map((name) => `/readyz/${name}`)];
      for (const path of paths) assert.deepEqual(await ask(path), [200, "ok\n"], path);
      for (const path of ["/livez/data_corruption", "/readyz/none"]) assert.equal((await ask(path))[0], 404, path);
      assert.deepEqual(await ask("/livez?verbose"), [200, "[+]serializable_read ok\nok\n"]);
      const all = checks.map((name) => `[+]${name} ok\n`).join("");
      assert.deepEqual(await ask("/readyz?verbose"), [200, `${all}ok\n`]);
      t.mock.method(api.store, "range", () => Promise.reject(unavailable));
      const failed = (name: string) => `[-]${name} failed: etcdserver: request timed out\n`;
      assert.deepEqual(await ask("/livez"), [503, `${failed("serializable_read")}\n`]);
      assert.deepEqual(await ask("/readyz?exclude=serializable_read&exclude=none"), [
        503,
        `[+]data_corruption ok\n${failed("linearizable_read")}[+]non_learner ok\n\n`,
      ]);
      assert.deepEqual(await ask("/livez?exclude=serializable_read"), [200, "ok\n"]);
      assert.equal((await ask("/readyz/linearizable_read?exclude=linearizable_read"))[0], 503);
    });

    test("a server whose database is away is alive, and not ready", async (t) => {
      const api = await startApi(t, { tcp });
      const range = api.store.range.bind(api.store);
      t.mock.method(api.store, "range", (query: RangeQuery) =>
        query.serializable === true ? range(query) : Promise.reject(unavailable),
      );
      const statuses = ["/livez", "/readyz/serializable_read", "/health?serializable=true", "/readyz", "/health"].map(
        async (path) => (await fetch(url(api, path))).status,
      );
      assert.deepEqual(await Promise.all(statuses), [200, 200, 200, 503, 503]);
    });

    test("/version names the release whose behaviour is offered", async (t) => {
      const api = await startApi(t, { tcp });
      const answer = await fetch(url(api, "/version"));
      assert.deepEqual(await answer.json(), { etcdserver: "3.6.11", etcdcluster: "3.6.0", storage: "3.6.0" });
    });

    test("/metrics is what the hook gives, and nothing without it", async (t) => {
      const api = await startApi(t, { tcp, metrics: () => "answers 42\n" });
      const answer = await fetch(url(api, "/metrics?x=1"));
      assert.match(answer.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
      assert.equal(await answer.text(), "answers 42\n");
      assert.equal((await fetch(url(await startApi(t, { tcp }), "/metrics"))).status, 404);
    });

    test("other paths and methods are refused, HEAD has no body", async (t) => {
      const api = await startApi(t, { tcp });
      assert.equal((await fetch(url(api, "/v3/kv/range"))).status, 404);
      assert.equal((await fetch(url(api, "/health"), { method: "POST", body: "x" })).status, 405);
      const head = await fetch(url(api, "/health"), { method: "HEAD" });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    });

    test("is served on the unix socket too, beside gRPC", async (t) => {
      const api = await startApi(t);
      await api.client.call("/etcdserverpb.KV/Range", rangeRequest({ key: "/a" }));
      const request = get({ socketPath: api.socketPath, path: "/health" });
      const [response] = (await once(request, "response")) as [NodeJS.ReadableStream & { statusCode: number }];
      response.resume();
      assert.equal(response.statusCode, 200);
      await api.client.call("/etcdserverpb.KV/Range", rangeRequest({ key: "/a" }));
    });

    test("takes a request that comes byte by byte", async (t) => {
      const api = await startApi(t, { tcp });
      const socket = connect(api.server.tcpPort, "127.0.0.1");
      t.after(() => socket.destroy());
      for (const byte of "PRI /health HTTP/1.1\r\n\r\n".replace("PRI", "GET"))
        await new Promise((resolve) => socket.write(byte, resolve));
      const [chunk] = (await once(socket, "data")) as [Buffer];
      assert.match(chunk.toString(), /^HTTP\/1\.1 400/); // no Host
    });

    test("bytes of neither protocol are answered with an error and cut", async (t) => {
      const api = await startApi(t, { tcp });
      const socket = connect(api.server.tcpPort, "127.0.0.1").on("error", () => undefined);
      t.after(() => socket.destroy());
      socket.end("\x16\x03\x01 PRI * HTTP");
      socket.resume();
      await once(socket, "close");
      assert.equal((await fetch(url(api, "/health"))).status, 200);
    });
  });
});

describe("HTTP/2 requests that are no gRPC, on the own transport", () => {
  for (const path of ["/health", "/version"])
    test(`curl gets ${path} with prior knowledge`, async (t) => {
      const api = await startApi(t, { tcp });
      const args = ["-sS", "--http2-prior-knowledge", "-w", " %{http_version}", url(api, path)];
      const { stdout } = await promisify(execFile)(await findProgram("curl"), args);
      assert.match(stdout, /^\{.*\} 2$/);
    });
});
