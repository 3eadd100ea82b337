import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { promisify } from "node:util";
import { dialThrough } from "../src/index.ts";
import { ask, open, startBalancer, startNamed, startServer, temporaryFolder, untilTrue } from "./arrange.ts";

/** A certificate for 127.0.0.1 that this process trusts until the test ends. */
async function trustedPair(t: TestContext) {
  const folder = await temporaryFolder(t);
  const [cert, key] = [join(folder, "cert"), join(folder, "key")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const subject = ["-subj", "/CN=proxy", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert];
  await promisify(execFile)("openssl", ["req", "-x509", ...curve, ...subject]);
  const pair = { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
  const before = getCACertificates();
  setDefaultCACertificates([...before, pair.cert]);
  t.after(() => setDefaultCACertificates(before));
  return pair;
}

/** Node's own HTTPS server as a proxy, and what it has passed on last. */
async function startTlsProxy(t: TestContext, allowHalfOpen: boolean) {
  const server = createServer({ ...(await trustedPair(t)), allowHalfOpen });
  const sockets = new Set<Socket>();
  const proxy = { url: new URL("https://127.0.0.1"), clients: [] as Socket[] };
  server.on("connection", (socket: Socket) => void sockets.add(socket));
  server.on("connect", (request, client: Socket) => {
    proxy.clients.push(client);
    const [host = "", port] = (request.url ?? "").split(":");
    const onward = connect({ host, port: Number(port) }, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      client.pipe(onward).pipe(client);
    });
    sockets.add(onward);
    client.on("error", () => onward.destroy());
    client.on("close", () => onward.destroy());
    onward.on("error", () => client.destroy());
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // Sound: a server that listens on TCP has an address of this form.
  proxy.url.port = String((server.address() as AddressInfo).port);
  return proxy;
}

async function throughTls(t: TestContext, address: string, allowHalfOpen = false) {
  const proxy = await startTlsProxy(t, allowHalfOpen);
  const { balancer, port } = await startBalancer(t, { dial: dialThrough(proxy.url) });
  await balancer.update([address]);
  const connections = () => balancer.servers().find((server) => server.address === address)?.connections;
  return { proxy, balancer, port, connections };
}

describe("dialThrough(), HTTPS", () => {
  test("reaches the server and passes on its end", async (t) => {
    const { address } = await startServer(t, (socket) => socket.pipe(socket));
    const { port, connections } = await throughTls(t, address, true);
    const socket = await open(t, port);
    const text = "x".repeat(1 << 20);
    socket.end(text);
    assert.ok(Buffer.concat((await socket.toArray()) as Buffer[]).equals(Buffer.from(text)));
    await untilTrue("it is gone", () => connections() === 0);
  });

  test("closes the way to the proxy when a client resets its connection, and serves the next one", async (t) => {
    const { address } = await startNamed(t);
    const { proxy, port, connections } = await throughTls(t, address);
    const socket = await open(t, port);
    assert.equal(await ask(socket), address);
    socket.resetAndDestroy();
    await untilTrue("it is gone", () => connections() === 0);
    await untilTrue("the proxy is told", () => proxy.clients[0]?.destroyed === true);
    assert.equal(await ask(await open(t, port)), address);
  });

  test("cuts its connections when their server is taken off the list", async (t) => {
    const { address } = await startNamed(t);
    const { proxy, balancer, port } = await throughTls(t, address);
    const socket = await open(t, port);
    assert.equal(await ask(socket), address);
    const failure = new Promise((resolve) => void socket.once("error", resolve));
    await balancer.update(["127.0.0.1:1"]);
    assert.equal(((await failure) as NodeJS.ErrnoException).code, "ECONNRESET");
    await untilTrue("the proxy is told", () => proxy.clients[0]?.destroyed === true);
  });
});
