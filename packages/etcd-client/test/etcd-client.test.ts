import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { describeError } from "@k3s/errors";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { freePort, startEtcd, until } from "@k3s/testkit";
import { EtcdCallError, EtcdClient, EtcdClientError, type EtcdClientOptions } from "../src/index.ts";

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-client-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function etcd(t: TestContext, options: Parameters<typeof startEtcd>[1]) {
  const started = await startEtcd(await temporaryFolder(t), options);
  t.after(() => started.program.stop());
  return started;
}

async function client(t: TestContext, options: EtcdClientOptions): Promise<EtcdClient> {
  const made = await EtcdClient.create(options);
  t.after(() => made.close());
  return made;
}

const bytes = (text: string) => Buffer.from(text);
const isAway = (error: unknown) => error instanceof EtcdCallError && error.isAway;

for (const program of ["etcd", "etcd-3.5"] as const)
  describe(`EtcdClient on a real ${program}`, () => {
    test("creates, changes and deletes a key only when nobody else was first", async (t) => {
      const { url } = await etcd(t, { program });
      const it = await client(t, { servers: [url] });
      const key = bytes("/bootstrap/a");
      const read = async () => (await it.range({ key })).kvs[0];

      assert.equal(await it.write({ key, modRevision: 0, value: bytes("1") }), true);
      assert.equal(await it.write({ key, modRevision: 0, value: bytes("x") }), false);
      const first = await read();
      assert.equal(first?.value.toString(), "1");
      assert.equal(first.version, 1);
      assert.equal(await it.write({ key, modRevision: first.modRevision + 1, value: bytes("x") }), false);
      assert.equal(await it.write({ key, modRevision: first.modRevision, value: bytes("") }), true);
      const second = await read();
      assert.equal(second?.value.length, 0);
      assert.equal(second.createRevision, first.createRevision);
      assert.equal(await it.write({ key, modRevision: first.modRevision, value: undefined }), false);
      assert.equal(await it.write({ key, modRevision: second.modRevision, value: undefined }), true);
      assert.equal(await read(), undefined);
    });

    test("a key with a lease goes when that ends", async (t) => {
      const { url } = await etcd(t, { program });
      const it = await client(t, { servers: [url] });
      const key = bytes("/registry/masterleases/10.0.0.1");
      const lease = await it.grant(1);
      assert.equal(await it.write({ key, modRevision: 0, value: bytes("1"), lease }), true);
      assert.equal((await it.range({ key })).kvs[0]?.lease, lease);
      await until("the key is gone", async () => (await it.range({ key })).kvs.length === 0);
    });

    test("reads ranges in pages, with their count", async (t) => {
      const { url } = await etcd(t, { program });
      const it = await client(t, { servers: [url] });
      for (const name of ["a", "b", "c"])
        await it.write({ key: bytes(`/x/${name}`), modRevision: 0, value: bytes(name) });
      const page = await it.range({ key: bytes("/x/"), rangeEnd: bytes("/x0"), limit: 2 });
      assert.deepEqual(
        page.kvs.map((kv) => kv.value.toString()),
        ["a", "b"],
      );
      assert.deepEqual([page.more, page.count, page.revision], [true, 3, 4]);
      const past = await it.range({ key: bytes("/x/"), rangeEnd: bytes("/x0"), revision: 2, keysOnly: true });
      assert.deepEqual(
        past.kvs.map((kv) => [kv.key.toString(), kv.value.length]),
        [["/x/a", 0]],
      );
      assert.equal((await it.range({ key: bytes("/"), rangeEnd: Buffer.alloc(1), countOnly: true })).count, 3);
    });

    test("compacts, and says what etcd says when that is refused", async (t) => {
      const { url } = await etcd(t, { program });
      const it = await client(t, { servers: [url] });
      for (let i = 0; i < 3; i++) await it.write({ key: bytes(`/${i}`), modRevision: 0, value: bytes("v") });
      await it.compact(3);
      await assert.rejects(it.range({ key: bytes("/0"), revision: 2 }), (error) => {
        assert.ok(error instanceof EtcdCallError);
        assert.equal(error.isAway, false);
        assert.match(error.details, /required revision has been compacted/);
        return true;
      });
      await assert.rejects(it.compact(99), /future revision/);
    });

    test("tells of the server and its leases", async (t) => {
      const { url } = await etcd(t, { program });
      const it = await client(t, { servers: [url] });
      const status = await it.status();
      assert.match(status.version, /^3\.\d+\.\d+$/);
      assert.ok(status.dbSizeBytes > 0 && status.revision === 1);
      assert.deepEqual(await it.leases(), []);
    });

    test("goes on with another server when one is gone, and comes back to it", async (t) => {
      const [a, b] = [await etcd(t, { program }), await etcd(t, { program })]; // two clusters: what is read tells which one answered
      const mark = async (url: string, name: string) => {
        const one = await client(t, { servers: [url] });
        await one.write({ key: bytes("name"), modRevision: 0, value: bytes(name) });
      };
      await mark(a.url, "a");
      await mark(b.url, "b");
      const dead = `http://127.0.0.1:${await freePort()}`;
      const it = await client(t, { servers: [dead, a.url, b.url] });
      const name = async () => (await it.range({ key: bytes("name") })).kvs[0]?.value.toString();
      const first = await name();
      const [mine, other] = first === "a" ? [a, "b"] : [b, "a"];
      await mine.program.stop();
      assert.equal(await until("the other server answers", name), other);
    });

    test("speaks TLS with a client certificate, and is refused at once without one", { timeout: 60_000 }, async (t) => {
      const serverDir = await temporaryFolder(t);
      const apiServerUrl = "https://127.0.0.1:6444";
      await ensureServerPki({ serverDir, clusterDomain: "cluster.local", sans: ["127.0.0.1"], apiServerUrl });
      const files = serverTlsPaths(serverDir);
      const { url } = await etcd(t, { program, tls: { ...files.servingApiServer, clientCa: files.clientCa.cert } });
      const pair = { certFile: files.clientSupervisor.cert, keyFile: files.clientSupervisor.key };

      const good = await client(t, { servers: [url], tls: { caFile: files.serverCa.cert, ...pair } });
      assert.ok((await good.status()).dbSizeBytes > 0);
      const blind = await client(t, { servers: [url], tls: { skipVerify: true, ...pair } });
      assert.ok((await blind.status()).dbSizeBytes > 0);
      const caFile = files.serverCa.cert;
      const stranger = { certFile: files.servingApiServer.cert, keyFile: files.servingApiServer.key };
      for (const [tls, message] of [
        [{ caFile }, /the server wants a client certificate \(/],
        [{ caFile, ...stranger }, /the server does not trust the client certificate \(/],
        [{ caFile: files.clientCa.cert, ...pair }, /no CA that is trusted here signed its certificate/],
        [pair, /no CA that is trusted here signed its certificate/],
      ] as const) {
        const bad = await client(t, { servers: [url], tls, timeoutMs: 600_000 });
        await assert.rejects(bad.status(), (error) => {
          assert.ok(isAway(error));
          assert.match(describeError(error), message);
          return true;
        });
      }
      const plain = await client(t, { servers: [url.replace("https:", "http:")], timeoutMs: 600_000 });
      await assert.rejects(plain.status(), { message: "Cannot call etcd: the port speaks TLS: use https://" });
    });
  });

/** It speaks HTTP/2 and leaves every call open; `asked` tells of the first one. */
async function silentServer(t: TestContext) {
  const server = createHttp2Server();
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.listen(0, "127.0.0.1");
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return { url: `http://127.0.0.1:${address.port}`, asked: once(server, "stream"), sessions };
}

describe("EtcdClient on a server that is connected and does not answer", () => {
  test("says how long it waited, and the cure", async (t) => {
    const { url } = await silentServer(t);
    const it = await client(t, { servers: [url], timeoutMs: 2000 });
    await assert.rejects(it.compact(7), (error) => {
      assert.ok(error instanceof EtcdCallError && error.isAway);
      const { code, message, hint } = EtcdClientError.away([url], error);
      assert.match(message, /^Cannot use etcd at http:\/\/127\.0\.0\.1:\d+: it did not answer within [\d.]+ s$/);
      assert.equal(code, "ERR_ETCD_LATE");
      assert.match(hint ?? "", /may still take effect/);
      assert.doesNotMatch(hint ?? "", /certificate/);
      return true;
    });
  });

  test("gives up connecting long before a call may end", async (t) => {
    const it = await client(t, {
      servers: [`http://127.0.0.1:${await freePort()}`],
      connectMs: 300,
      timeoutMs: 600_000,
    });
    await assert.rejects(it.status(), isAway);
  });

  test("ends a call at once when the caller does not want it any more", async (t) => {
    const { url, asked } = await silentServer(t);
    const stop = new AbortController();
    const it = await client(t, { servers: [url], timeoutMs: 600_000, signal: stop.signal });
    const call = assert.rejects(it.status(), { message: "Received SIGINT" });
    await asked;
    stop.abort(new Error("Received SIGINT"));
    await call;
    await assert.rejects(it.status(), { message: "Received SIGINT" });
  });
});

describe("EtcdClient that was closed", () => {
  const saysClosed = (error: unknown) =>
    error instanceof EtcdCallError && error.isAway && error.details === "the client was closed";

  /** It takes connections and says nothing; `taken` are all there ever were. */
  async function silentListener(t: TestContext) {
    const taken: Socket[] = [];
    const server = createServer((socket) => taken.push(socket.on("error", () => undefined).resume()));
    t.after(() => {
      for (const socket of taken) socket.destroy();
      server.close();
    });
    const connected = once(server, "connection");
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(address !== null && typeof address === "object");
    return { url: `http://127.0.0.1:${address.port}`, taken, connected };
  }

  test("refuses calls after it had been connected", async (t) => {
    const { url } = await etcd(t, {});
    const it = await client(t, { servers: [url] });
    await it.status();
    it.close();
    it.close();
    await assert.rejects(it.status(), saysClosed);
    await assert.rejects(it.write({ key: bytes("a"), modRevision: 0, value: bytes("1") }), saysClosed);
  });

  /** A client that is open has come and gone: what a closed one would have opened came before. */
  async function afterAnother(t: TestContext, url: string): Promise<void> {
    const other = await client(t, { servers: [url], timeoutMs: 300 });
    await assert.rejects(other.status(), isAway);
  }

  test("opens no connection for a call when it never had one", async (t) => {
    const { url, taken } = await silentListener(t);
    const it = await client(t, { servers: [url], timeoutMs: 500 });
    it.close();
    await assert.rejects(it.status(), saysClosed);
    await afterAnother(t, url);
    assert.equal(taken.length, 1);
  });

  test("ends a call that waits for a connection, and opens no other one", { timeout: 10_000 }, async (t) => {
    const { url, taken, connected } = await silentListener(t);
    const it = await client(t, { servers: [url], timeoutMs: 600_000 });
    const call = assert.rejects(it.status(), saysClosed);
    await connected;
    it.close();
    await call;
    await afterAnother(t, url);
    assert.equal(taken.length, 2);
  });

  test("ends a call that waits for its answer, and its connection", { timeout: 10_000 }, async (t) => {
    const { url, asked, sessions } = await silentServer(t);
    const it = await client(t, { servers: [url], timeoutMs: 600_000 });
    const call = assert.rejects(it.status(), saysClosed);
    await asked;
    it.close();
    await call;
    await until("the connection has ended", () => Promise.resolve(sessions.every((session) => session.destroyed)));
    assert.equal(sessions.length, 1);
  });
});

describe("EtcdClient without an etcd", () => {
  test("rejects in time when nobody listens", async (t) => {
    const port = await freePort();
    const it = await client(t, { servers: [`http://127.0.0.1:${port}`], timeoutMs: 400 });
    await assert.rejects(it.status(), (error) => {
      assert.ok(error instanceof EtcdCallError && error.isAway);
      assert.equal(describeError(error), `Cannot call etcd: connect ECONNREFUSED 127.0.0.1:${port}`);
      return true;
    });
  });

  test("names what each of several servers met, in one sentence", async (t) => {
    const ports = [await freePort(), await freePort()];
    const servers = ports.map((port) => `http://127.0.0.1:${port}`);
    const it = await client(t, { servers, timeoutMs: 400 });
    await assert.rejects(it.status(), (error) => {
      assert.ok(error instanceof EtcdCallError);
      const each = ports.map((port) => `connect ECONNREFUSED 127.0.0.1:${port}`).join("; ");
      const text = describeError(EtcdClientError.away(servers, error));
      assert.equal(text, `Cannot reach etcd at ${servers.join(", ")}: ${each}`);
      return true;
    });
  });

  test("names a server that nobody knows", async (t) => {
    const it = await client(t, { servers: ["http://nosuch.invalid:2379"], timeoutMs: 2000 });
    await assert.rejects(it.status(), { message: /^Cannot call etcd: .*nosuch\.invalid/ });
  });

  test("rejects in time when somebody listens and says nothing", async (t) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      t.after(() => socket.destroy());
    }).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const address = server.address();
    assert.ok(address !== null && typeof address === "object");
    const it = await client(t, { servers: [`http://127.0.0.1:${address.port}`], timeoutMs: 400 });
    await assert.rejects(it.status(), isAway);
    await assert.rejects(it.status(), { message: "Cannot call etcd: no connection within 0.4 s" });
  });

  /** `onConnection` sees each connection of somebody who is no etcd. */
  async function stranger(t: TestContext, onConnection: (socket: Socket) => void): Promise<string> {
    const server = createServer((socket) => {
      t.after(() => socket.destroy());
      onConnection(socket.on("error", () => undefined));
    }).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // sound: it listens on TCP
  }

  test("says at once that what answers is no etcd", { timeout: 30_000 }, async (t) => {
    const url = await stranger(t, (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const it = await client(t, { servers: [url], timeoutMs: 600_000 });
    await assert.rejects(it.status(), {
      message: "Cannot call etcd: no etcd is there: what answers does not speak HTTP/2",
    });
  });

  test("says that no etcd is there, and no time, where connections are ended unanswered", async (t) => {
    const url = await stranger(t, (socket) => socket.once("data", () => socket.end())); // as PostgreSQL does
    const it = await client(t, { servers: [url], timeoutMs: 500 });
    await assert.rejects(it.status(), {
      message: "Cannot call etcd: no etcd seems to be there: connections are ended unanswered (Failed to connect)",
    });
  });

  test("goes on with another server when the first is certain to fail", async (t) => {
    const url = await stranger(t, (socket) => socket.write("SSH-2.0-OpenSSH_9.6\r\n"));
    const { url: real } = await etcd(t, {});
    const it = await client(t, { servers: [url, real] });
    assert.ok((await it.status()).dbSizeBytes > 0);
  });

  test("names the flags of the CA in its hint", () => {
    const error = new EtcdCallError({ isAway: true, details: "no CA", cause: undefined });
    assert.match(EtcdClientError.away(["https://h:1"], error).hint ?? "", /--ca-file.*--datastore-cafile/);
  });

  test("names a TLS file that cannot be read", async (t) => {
    const caFile = join(await temporaryFolder(t), "none.crt");
    await assert.rejects(EtcdClient.create({ servers: ["https://h:1"], tls: { caFile } }), (error) => {
      assert.ok(error instanceof EtcdClientError);
      assert.ok(error.message.includes(caFile));
      return true;
    });
  });
});
