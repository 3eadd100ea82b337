import assert from "node:assert/strict";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { putRequest, rangeRequest, readAnswer, until } from "@k3s/testkit";
import { inParallel } from "./support/bulk.ts";
import { Certificates } from "./support/certificates.ts";
import type { CaseServer } from "./support/case-server.ts";
import { onEachServer } from "./support/each-server.ts";
import { limitFiles } from "./support/files-limit.ts";
import { openSession } from "./support/http2-session.ts";
import { Latencies } from "./support/latencies.ts";
import { scaled } from "./support/scale.ts";

const REQUESTS = 1000;
/** Requests of one connection that wait at a time. */
const WIDTH = 16;
const CONNECTIONS = 500;
/** Files that a server may still open, and connections that want one each. */
const FILES = { left: 8, wanted: 60 };
const STALLS = { ms: 200, times: scaled({ short: 20, full: 400 }) };
const KV = "/etcdserverpb.KV";

const certificates = new Certificates();
before(() => certificates.make());
after(() => rm(certificates.folder, { recursive: true, force: true }));

/** The authorities of Kubernetes 1.22 and 1.23, and of Maintenance.Status of 1.20 and 1.21. */
function oddAuthorities(origin: string): string[] {
  return [`#initially=[${origin}]`, origin];
}

/** One gRPC call as Go's client makes it, with header fields of our choice; gives its message. */
async function call(
  session: ClientHttp2Session,
  {
    method,
    message,
    fields,
  }: { readonly method: string; readonly message: Buffer; readonly fields: Record<string, string> },
): Promise<Buffer> {
  const stream = session.request({
    ":method": "POST",
    ":path": `${KV}/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...fields,
  });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
  return (await buffer(stream)).subarray(5);
}

onEachServer(
  (start) => {
    for (const isSecure of [false, true])
      test(`hard case 1, odd authority: a thousand mixed requests that overflow the header table, ${isSecure ? "TLS" : "plain"}`, async (t) => {
        const { server } = await start(t, isSecure ? { tls: certificates.server } : {});
        const origin = `${isSecure ? "https" : "http"}://127.0.0.1:${server.port}`;
        const identity = isSecure ? await certificates.client(certificates.paths.etcdClient) : {};
        const authorities = [...oddAuthorities(origin), `127.0.0.1:${server.port}`];
        const session = await openSession(t, origin, { ...identity, servername: "localhost" });
        const ask = async (i: number): Promise<void> => {
          // Each field is new to the header table: it drops what it has, the authorities included, every few requests.
          const fields = { ":authority": authorities[i % 3] ?? "", [`x-${i}`]: "v".repeat((i * 37) % 400) };
          const key = `/registry/t/${i % 10}`;
          if (i % 4 > 0) {
            const message = rangeRequest({ key });
            const answer = readAnswer.range(await call(session, { method: "Range", message, fields }));
            assert.ok((answer.header?.revision ?? 0) >= 1, `request ${i}`);
          } else {
            const message = putRequest({ key, value: String(i) });
            const answer = readAnswer.put(await call(session, { method: "Put", message, fields }));
            assert.ok((answer.header?.revision ?? 0) >= 2, `request ${i}`);
          }
        };
        await inParallel(REQUESTS, WIDTH, ask);
        assert.equal(session.closed || session.destroyed, false);
      });
  },
  ["http2", "etcd"], // see "odd authority refused" for grpc-js
);

onEachServer((start) => {
  test("beside the hard cases, 500 connections opening at once: all are served", async (t) => {
    const { connect, key } = await start(t);
    const latencies = new Latencies();
    const clients = Array.from({ length: CONNECTIONS }, () => connect());
    const answers = await Promise.all(
      clients.map((client) => latencies.measure(() => client.range({ key: key("a") }))),
    );
    assert.ok(answers.every(({ header }) => header.revision > 0));
    t.diagnostic(latencies.summary());
  });

  test("beside the hard cases, file descriptor exhaustion: served connections go on, new ones come when there is room", async (t) => {
    const { client, connect, server, key } = await start(t, {});
    await client.put({ key: key("a") });
    await limitFiles(server.pid, FILES.left);
    const sockets = await Promise.all(Array.from({ length: FILES.wanted }, () => openSocket(t, server)));
    for (let i = 0; i < 200; i++) await client.put({ key: key("a"), value: "v".repeat(10_000) });
    const { header } = await client.put({ key: key("b") });
    await client.compact(header.revision - 1);
    assert.equal((await client.range({ key: key("a") })).kvs[0]?.version, 201);
    for (const socket of sockets) socket.destroy();
    await limitFiles(server.pid, 1000);
    const later = await until("a new connection is served", () => connect().range({ key: key("b") }));
    assert.equal(later.kvs.length, 1);
  });

  test("beside the hard cases, stalls of 200 ms under keepalive: no ping and no call is lost", async (t) => {
    const { client, server, key } = await start(t, {});
    const session = await openSession(t, `http://127.0.0.1:${server.port}`);
    const watch = client.watch();
    await watch.create({ key: key("a") });
    let pongs = 0;
    for (let i = 0; i < STALLS.times; i++) {
      const message = putRequest({ key: key("a"), value: String(i) });
      await stalled(server.pid, async () => {
        await Promise.all([call(session, { method: "Put", message, fields: {} }), ping(session)]);
        pongs++;
      });
    }
    assert.equal(pongs, STALLS.times);
    assert.equal((await watch.events(STALLS.times)).length, STALLS.times);
    assert.equal(session.closed || session.destroyed, false);
  });
});

/** Begins `task` while the process stands still for some time; resolves when that is done. */
async function stalled(pid: number, task: () => Promise<void>): Promise<void> {
  process.kill(pid, "SIGSTOP");
  try {
    const done = task();
    await Promise.race([sleep(STALLS.ms), done]);
    process.kill(pid, "SIGCONT");
    await done;
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

async function ping(session: ClientHttp2Session): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  session.ping((error) => (error === null ? resolve(undefined) : reject(error)));
  await promise;
}

async function openSocket(t: TestContext, { port }: CaseServer): Promise<Socket> {
  const socket = connectTcp(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.on("error", () => undefined); // the server may refuse it
  await once(socket, "connect");
  return socket;
}
