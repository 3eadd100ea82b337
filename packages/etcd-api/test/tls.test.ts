import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { createLogger } from "@k3s/log";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { onEachTransport, type StartApi } from "./support/api.ts";
import { RawClient } from "@k3s/testkit";
import { rangeRequest, readAnswer } from "@k3s/testkit";

interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Certificates as the product makes them: a server and a client of etcd, and a client of somebody else's. */
class Certificates {
  folder = "";
  ca: Buffer = Buffer.alloc(0);
  server: Identity = { cert: this.ca, key: this.ca };
  client: Identity = this.server;
  stranger: Identity = this.server;

  async make(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), "k3s-etcd-api-"));
    const sans = ["localhost", "127.0.0.1"];
    const apiServerUrl = "https://127.0.0.1:6444";
    await ensureServerPki({ serverDir: this.folder, clusterDomain: "cluster.local", sans, apiServerUrl });
    const paths = serverTlsPaths(this.folder);
    const read = async ({ cert, key }: { readonly cert: string; readonly key: string }) => ({
      cert: await readFile(cert),
      key: await readFile(key),
    });
    this.ca = await readFile(paths.etcdServerCa.cert);
    this.server = await read(paths.etcdServer);
    this.client = await read(paths.etcdClient);
    this.stranger = await read(paths.clientAdmin);
  }
}

const certificates = new Certificates();
before(() => certificates.make());
after(() => rm(certificates.folder, { recursive: true, force: true }));

async function startTls(t: TestContext, startApi: StartApi): Promise<number> {
  const tls = { ...certificates.server, clientCa: certificates.ca };
  const api = await startApi(t, { tcp: { host: "127.0.0.1", port: 0, tls } });
  return api.server.tcpPort;
}

function range(t: TestContext, port: number, identity: Identity | undefined): Promise<Buffer> {
  const { ca } = certificates;
  const channel = credentials.createSsl(ca, identity?.key ?? null, identity?.cert ?? null);
  return new RawClient(t, `127.0.0.1:${port}`, channel).call("/etcdserverpb.KV/Range", rangeRequest({ key: "/a" }));
}

onEachTransport((startApi) => {
  test("TLS: a client with a certificate of the CA is served", async (t) => {
    const port = await startTls(t, startApi);
    assert.equal(readAnswer.range(await range(t, port, certificates.client)).header?.revision, 1);
  });

  for (const [name, identity] of [
    ["without a certificate", () => undefined],
    ["with another's certificate", () => certificates.stranger],
  ] as const)
    test(`TLS: a client ${name} is refused`, async (t) => {
      const port = await startTls(t, startApi);
      await assert.rejects(range(t, port, identity()), { code: 14 });
      await range(t, port, certificates.client);
    });

  test("TLS: of clients that are refused the log tells, with cause and cure, once for each reason", async (t) => {
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
    const tls = { ...certificates.server, clientCa: certificates.ca };
    const { server } = await startApi(t, { tcp: { host: "127.0.0.1", port: 0, tls }, log });
    const port = server.tcpPort;
    lines.length = 0;
    for (let i = 0; i < 2; i++) {
      await assert.rejects(range(t, port, undefined));
      await assert.rejects(range(t, port, certificates.stranger));
      const plain = connectPlain(port, "127.0.0.1");
      plain.end("GET /health HTTP/1.1\r\n\r\n").on("error", () => undefined);
      await once(plain.resume(), "close");
      const gone = connectPlain(port, "127.0.0.1");
      await once(gone.end().resume(), "close");
    }
    const told = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    assert.deepEqual(
      told.map(({ level, client, reason, msg }) => ({ level, client, reason, msg })),
      ["it has no certificate", "its certificate is not of the CA for clients", "it does not speak TLS"].map(
        (reason) => ({
          ...{ level: "warn", client: "127.0.0.1", reason, msg: "refused a client of the etcd API" },
        }),
      ),
    );
    assert.ok(told.every(({ cure }) => typeof cure === "string" && cure !== ""));
  });

  test("TLS: of clients that speak it to a port without it the log tells once, with cause and cure", async (t) => {
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
    const { server } = await startApi(t, { tcp: { host: "127.0.0.1", port: 0 }, log });
    const port = server.tcpPort;
    lines.length = 0;
    for (let i = 0; i < 2; i++) await assert.rejects(range(t, port, certificates.client), { code: 14 });
    const bytewise = connectPlain(port, "127.0.0.1").on("error", () => undefined);
    bytewise.setNoDelay(true).write(Buffer.of(0x16));
    await once(bytewise, "connect");
    bytewise.end(Buffer.of(0x03));
    await once(bytewise.resume(), "close");
    const other = connectPlain(port, "127.0.0.1").on("error", () => undefined);
    other.end(Buffer.of(0x16, 0x04));
    await once(other.resume(), "close");
    const told = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    assert.deepEqual(
      told.map(({ level, client, reason, msg }) => ({ level, client, reason, msg })),
      [
        {
          ...{ level: "warn", client: "127.0.0.1", msg: "refused a client of the etcd API" },
          reason: "it speaks TLS, and this address does not",
        },
      ],
    );
    assert.match(String(told[0]?.["cure"]), /http:\/\/.*--server-cert-file/);
  });

  test("TLS: a client of a port without it is told that there is none", async (t) => {
    const { server } = await startApi(t, { tcp: { host: "127.0.0.1", port: 0 } });
    const socket = connect({ port: server.tcpPort, host: "127.0.0.1" });
    const [error] = (await once(socket, "error")) as [Error & { readonly code?: string }];
    assert.match(String(error.code), /ERR_SSL_(PACKET_LENGTH_TOO_LONG|WRONG_VERSION_NUMBER)/);
  });

  test("TLS: h2 is agreed on, a client that knows only HTTP/1.1 is served /health", async (t) => {
    const port = await startTls(t, startApi);
    const { ca, client } = certificates;
    const socket = connect({ port, host: "127.0.0.1", ca, ...client, ALPNProtocols: ["http/1.1", "h2"] });
    t.after(() => socket.destroy());
    await once(socket, "secureConnect");
    assert.equal(socket.alpnProtocol, "h2");
    const request = get({ port, host: "127.0.0.1", path: "/health", ca, ...client, agent: false });
    const [response] = (await once(request, "response")) as [NodeJS.ReadableStream & { statusCode: number }];
    response.resume();
    assert.equal(response.statusCode, 200);
  });

  test("TLS: a client whose handshake is over when the stop has begun is not served", async (t) => {
    const { ca, client } = certificates;
    const { server, socketPath } = await startApi(t, { tcp: { host: "127.0.0.1", port: 0, tls: certificates.server } });
    const early = connectPlain(server.tcpPort, "127.0.0.1");
    await once(early, "connect");
    const silent = connectPlain(socketPath); // as long as it answers no ping the stop takes
    t.after(() => silent.destroy());
    silent.on("error", () => undefined).write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    await once(silent, "data");
    const stopping = server.stop(AbortSignal.timeout(10_000));
    const socket = connect({ socket: early, ca, ...client }).on("error", () => undefined);
    const parts: Buffer[] = [];
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.write("GET /health HTTP/1.1\r\nHost: etcd\r\n\r\n");
    await once(socket, "close");
    assert.equal(Buffer.concat(parts).toString(), "");
    await stopping;
  });

  test("TLS: without a CA no certificate is asked for", async (t) => {
    const api = await startApi(t, { tcp: { host: "127.0.0.1", port: 0, tls: certificates.server } });
    await range(t, api.server.tcpPort, undefined);
  });
});
