import assert from "node:assert/strict";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { connect as connectHttp2, constants, type ClientHttp2Session } from "node:http2";
import { connect, createServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { EtcdApiServer } from "../src/etcd-api-server.ts";
import { onEachTransport, quietLog } from "./support/api.ts";
import { RawClient } from "@k3s/testkit";
import { putRequest, rangeRequest, readAnswer } from "@k3s/testkit";

const UNIMPLEMENTED = 12;

onEachTransport((startApi) => {
  describe("EtcdApiServer", () => {
    test("serves on the socket and on a TCP address", async (t) => {
      const api = await startApi(t, { tcp: { host: "127.0.0.1", port: 0 } });
      const other = new RawClient(t, `127.0.0.1:${api.server.tcpPort}`);
      await other.call("/etcdserverpb.KV/Put", putRequest({ key: "/a", value: "1" }));
      const answer = await api.client.call("/etcdserverpb.KV/Range", rangeRequest({ key: "/a" }));
      assert.equal(readAnswer.range(answer).kvs[0]?.value, "1");
    });

    test("prepare() fails early when the socket is taken", async (t) => {
      const api = await startApi(t);
      await assert.rejects(api.server.prepare(), { code: "ERR_ETCD_API_SOCKET_IN_USE" });
    });

    test("prepare() fails early when the TCP address is taken, and leaves a free one free", async (t) => {
      const taken = createServer().listen(0, "127.0.0.1");
      t.after(() => taken.close());
      await once(taken, "listening");
      const { port } = taken.address() as AddressInfo; // sound: it listens on TCP
      const tcp = { host: "127.0.0.1", port };
      const unused = { store: () => assert.fail(), memberName: "node1", log: quietLog };
      const server = new EtcdApiServer({ ...unused, tcp });
      await assert.rejects(server.prepare(), { code: "ERR_ETCD_API_LISTEN" });
      const away = new EtcdApiServer({ ...unused, tcp: { host: "192.0.2.1", port } });
      await assert.rejects(away.prepare(), { code: "ERR_ETCD_API_LISTEN" });
      taken.close();
      await once(taken, "close");
      await server.prepare();
      assert.equal(server.tcpPort, 0);
      const refused = connect(port, "127.0.0.1");
      await assert.rejects(once(refused, "connect"), { code: "ECONNREFUSED" });
    });

    test("stop() frees the socket, cuts what does not end in time, and may come twice or first", async (t) => {
      const api = await startApi(t);
      const stalled = connect(api.socketPath); // a connection that never speaks
      t.after(() => stalled.destroy());
      await once(stalled, "connect");
      await api.client.call("/etcdserverpb.KV/Range", rangeRequest({ key: "/a" }));
      await api.server.stop(AbortSignal.abort());
      await api.server.stop(AbortSignal.abort());
      await assert.rejects(stat(api.socketPath), { code: "ENOENT" });
    });

    test("tells clients the HTTP/2 settings a busy API server needs", async (t) => {
      const api = await startApi(t);
      const session = connectHttp2("http://localhost", { createConnection: () => connect(api.socketPath) });
      t.after(() => session.destroy());
      const [settings] = (await once(session, "remoteSettings")) as [
        { initialWindowSize: number; maxConcurrentStreams: number },
      ];
      assert.ok(settings.initialWindowSize >= 1 << 20);
      assert.ok(settings.maxConcurrentStreams >= 65_536);
    });

    test("lets a client cancel thousands of calls at once and goes on", async (t) => {
      const api = await startApi(t);
      const session = connectHttp2("http://localhost", { createConnection: () => connect(api.socketPath) });
      t.after(() => session.destroy());
      await once(session, "remoteSettings");
      const headers = { ":method": "POST", ":path": "/etcdserverpb.Watch/Watch", "content-type": "application/grpc" };
      const calls = Array.from({ length: 3000 }, () => session.request(headers).on("error", () => undefined));
      await ping(session); // all of them have begun at the server
      const closed = calls.map((call) => once(call, "close"));
      for (const call of calls) call.close(constants.NGHTTP2_CANCEL);
      await Promise.all(closed);
      await ping(session);
      assert.equal(session.closed, false);
    });

    for (const path of [
      "/etcdserverpb.KV/RangeStream",
      "/etcdserverpb.Maintenance/Downgrade",
      "/etcdserverpb.Cluster/MemberAdd",
      "/etcdserverpb.Auth/UserAdd",
    ]) {
      test(`answers ${path} with Unimplemented`, async (t) => {
        const api = await startApi(t);
        await assert.rejects(api.client.call(path, Buffer.alloc(0)), { code: UNIMPLEMENTED });
      });
    }

    test("answers a request that is no message with Internal", async (t) => {
      const api = await startApi(t);
      await assert.rejects(api.client.call("/etcdserverpb.KV/Range", Buffer.from("0a05", "hex")), { code: 13 });
    });
  });
});

async function ping(session: ClientHttp2Session): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  session.ping((error) => (error === null ? resolve() : reject(error)));
  await promise;
}
