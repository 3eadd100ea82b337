import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import type { CertificatePair } from "@k3s/pki";
import { rangeRequest, readAnswer, until } from "@k3s/testkit";
import { CaseClient } from "./support/case-client.ts";
import { Certificates } from "./support/certificates.ts";
import { onEachServer } from "./support/each-server.ts";
import { RawHttp2 } from "./support/raw-http2.ts";

/** What the etcd clients of Kubernetes 1.20 to 1.23 send, and Go clients before grpc 1.58 on a socket. */
const ODD_AUTHORITIES = [
  "#initially=[http://127.0.0.1:2379]",
  "#initially=[https://127.0.0.1:2379;https://127.0.0.2:2379]",
  "http://127.0.0.1:2379",
  "/run/kine.sock",
];
const PROTOCOL_ERROR = 1;

const certificates = new Certificates();
before(() => certificates.make());
after(() => rm(certificates.folder, { recursive: true, force: true }));

async function connectWith(t: TestContext, port: number, pair: CertificatePair | undefined): Promise<CaseClient> {
  const { ca, key, cert } = { key: null, cert: null, ...(await certificates.client(pair)) };
  return new CaseClient(t, `127.0.0.1:${port}`, credentials.createSsl(ca, key, cert));
}

async function secureSocket(t: TestContext, port: number): Promise<TLSSocket> {
  const identity = await certificates.client(certificates.paths.etcdClient);
  const socket = connectTls({
    port,
    host: "127.0.0.1",
    servername: "localhost",
    ...identity,
    ALPNProtocols: ["http/1.1", "h2"],
  });
  t.after(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

onEachServer((start, differs) => {
  const askWithOddAuthorities = async (connection: RawHttp2, revision: number) => {
    for (const authority of [...ODD_AUTHORITIES, "127.0.0.1:2379"]) {
      const message = rangeRequest({ key: "/a" });
      const answer = await connection.call({
        path: "/etcdserverpb.KV/Range",
        message,
        fields: { ":authority": authority },
      });
      if (differs("odd authority refused") && authority !== "127.0.0.1:2379")
        assert.deepEqual(answer, { resetCode: PROTOCOL_ERROR }, authority);
      else assert.equal("body" in answer && readAnswer.range(answer.body).header?.revision, revision, authority);
    }
  };

  test("P1 odd :authority: accepted on a plain connection", async (t) => {
    const { client, server } = await start(t);
    const connection = await RawHttp2.connect(t, { port: server.port, host: "127.0.0.1" });
    await askWithOddAuthorities(connection, await client.revision());
  });

  test("P1, P48 TLS: odd :authority accepted, h2 agreed on, client certificates required and verified", async (t) => {
    const { server } = await start(t, { tls: certificates.server });
    const { paths } = certificates;
    const client = await connectWith(t, server.port, paths.etcdClient);
    const { header } = await client.put({ key: "/a" });
    const socket = await secureSocket(t, server.port);
    assert.equal(socket.alpnProtocol, "h2");
    await askWithOddAuthorities(RawHttp2.on(socket), header.revision);

    for (const pair of [undefined, paths.clientAdmin]) {
      const stranger = await connectWith(t, server.port, pair);
      await assert.rejects(stranger.revision(), { code: 14 });
    }
    const plain = new CaseClient(t, `127.0.0.1:${server.port}`);
    await assert.rejects(plain.revision(), { code: 14 });
    assert.equal(await client.revision(), header.revision);

    const identity = await certificates.client(paths.etcdClient);
    const request = get({
      port: server.port,
      host: "127.0.0.1",
      path: "/health",
      ...identity,
      servername: "localhost",
      agent: false,
    });
    const [response] = (await once(request, "response")) as [NodeJS.ReadableStream & { readonly statusCode: number }];
    response.resume();
    assert.equal(response.statusCode, 200);
  });
});

onEachServer(
  (start, differs) => {
    test("P49 unix socket: mode 0600, the file of a killed server is replaced, raw path as authority", async (t) => {
      const { server } = await start(t, {});
      const path = server.socketPath ?? "";
      const mode = async () => (await stat(path)).mode & 0o7777;
      assert.equal(await mode(), 0o600);
      const client = new CaseClient(t, `unix:${path}`);
      const { header } = await client.put({ key: "/a" });
      await server.restart("SIGKILL"); // leaves its socket behind
      assert.equal(await mode(), 0o600);
      const connection = await RawHttp2.connect(t, { path });
      const message = rangeRequest({ key: "/a" });
      const fields = { ":authority": path };
      const answer = await connection.call({ path: "/etcdserverpb.KV/Range", message, fields });
      if (differs("odd authority refused")) assert.deepEqual(answer, { resetCode: PROTOCOL_ERROR });
      else assert.equal("body" in answer && readAnswer.range(answer.body).header?.revision, header.revision);
    });
  },
  ["http2", "grpc-js"],
);

describe("k3s datastore serve", () => {
  const MAIN = join(import.meta.dirname, "../../cmd/k3s/src/main.ts");

  /** Starts it in `folder` and gives its log. */
  function serveIn(t: TestContext, folder: string, listen: string) {
    const args = ["datastore", "serve", `--listen-address=${listen}`, "--metrics-bind-address=0"];
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    t.after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    });
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
    const isServed = () =>
      until("the datastore is served", () => {
        if (child.exitCode !== null) throw new Error(`Cannot use server: it ended\n${log}`);
        return Promise.resolve(log.includes("the datastore is served"));
      });
    return { isServed, ended: once(child, "exit").then(([code]) => ({ code: code as unknown, log })) };
  }

  async function folderOf(t: TestContext): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "k3s-cases-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  test("P49 unix socket: relative and absolute addresses; only one server, and no other file, has the path", async (t) => {
    const folder = await folderOf(t);
    const served = serveIn(t, folder, "unix://kine.sock");
    await served.isServed();
    const path = join(folder, "kine.sock");
    assert.equal((await stat(path)).mode & 0o7777, 0o600);
    const client = new CaseClient(t, `unix:${path}`);
    const { header } = await client.put({ key: "/a" });
    const second = await serveIn(t, await folderOf(t), `unix://${path}`).ended;
    assert.equal(second.code, 1);
    assert.match(second.log, /ERR_ETCD_API_SOCKET_IN_USE/);
    assert.equal(await client.revision(), header.revision);

    const other = await folderOf(t);
    const file = join(other, "file");
    await writeFile(file, "precious");
    const third = await serveIn(t, other, `unix://${file}`).ended;
    assert.equal(third.code, 1);
    assert.equal(await readFile(file, "utf8"), "precious");
    const absolute = join(other, "absolute.sock");
    await serveIn(t, await folderOf(t), `unix://${absolute}`).isServed();
    const socket = connectTcp(absolute);
    t.after(() => socket.destroy());
    await once(socket, "connect");
    assert.ok((await new CaseClient(t, `unix:${absolute}`).revision()) > 0);
  });
});
