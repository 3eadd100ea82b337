import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import { dialThrough } from "../src/index.ts";
import { LoadBalancerError } from "../src/errors.ts";
import { ask, askNew, open, startBalancer, startNamed, startServer } from "./arrange.ts";

interface HttpProxy {
  readonly url: URL;
  readonly asked: { readonly target: string | undefined; readonly authorization: string | undefined }[];
}

/** Node's own HTTP server as a proxy; it refuses what `status` says. */
async function startHttpProxy(t: TestContext, status = "200 Connection established"): Promise<HttpProxy> {
  const asked: HttpProxy["asked"] = [];
  const server = createServer();
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => void sockets.add(socket));
  server.on("connect", (request, socket: Socket) => {
    asked.push({ target: request.url, authorization: request.headers["proxy-authorization"] });
    socket.on("error", () => socket.destroy());
    if (!status.startsWith("2")) return void socket.end(`HTTP/1.1 ${status}\r\n\r\n`);
    const [host = "", port] = (request.url ?? "").split(":");
    const onward = connect({ host, port: Number(port) }, () => {
      socket.write(`HTTP/1.1 ${status}\r\nVia: test\r\n\r\n`);
      socket.pipe(onward).pipe(socket);
    });
    onward.on("error", () => socket.destroy());
    sockets.add(onward);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), asked };
}

interface SocksProxy {
  readonly url: URL;
  /** Each message of a client, in hex. */
  readonly messages: string[];
}

/** Answers a client's messages one after the other, then passes bytes on to the server. */
async function startSocksProxy(t: TestContext, answers: readonly string[], server?: string): Promise<SocksProxy> {
  const messages: string[] = [];
  const { address } = await startServer(t, (socket) => {
    const left = [...answers];
    const onData = (chunk: Buffer) => {
      messages.push(chunk.toString("hex"));
      const answer = left.shift() ?? "";
      if (left.length > 0 || server === undefined) return void socket.write(Buffer.from(answer, "hex"));
      socket.off("data", onData);
      const [host = "", port] = server.split(":");
      const onward = connect({ host, port: Number(port) }, () => {
        socket.write(Buffer.from(answer, "hex"));
        socket.pipe(onward).pipe(socket);
      });
      onward.on("error", () => socket.destroy());
      t.after(() => onward.destroy());
    };
    socket.on("data", onData);
  });
  return { url: new URL(`socks5://${address}`), messages };
}

function throughProxy(t: TestContext, proxy: URL) {
  return startBalancer(t, { dial: dialThrough(proxy) });
}

describe("dialThrough(), HTTP", () => {
  test("reaches the server through CONNECT", async (t) => {
    const { address } = await startNamed(t);
    const { url, asked } = await startHttpProxy(t);
    const { balancer, port } = await throughProxy(t, url);
    await balancer.update([address]);
    const socket = await open(t, port);
    assert.equal(await ask(socket), address);
    assert.equal(await ask(socket), address);
    assert.deepEqual(asked, [{ target: address, authorization: undefined }]);
  });

  test("shows user and password", async (t) => {
    const { address } = await startNamed(t);
    const { url, asked } = await startHttpProxy(t);
    url.username = "us%20er";
    url.password = "p%3Aw";
    const { balancer, port } = await throughProxy(t, url);
    await balancer.update([address]);
    assert.equal(await askNew(t, port), address);
    assert.equal(asked[0]?.authorization, `Basic ${Buffer.from("us er:p:w").toString("base64")}`);
  });

  test("passes on what a server says first", async (t) => {
    const { address } = await startServer(t, (socket) => socket.write("hello"));
    const { url } = await startHttpProxy(t);
    const { balancer, port } = await throughProxy(t, url);
    await balancer.update([address]);
    const socket = await open(t, port);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    assert.equal(String(chunk), "hello");
  });

  test("takes a refusal for a failure of the server", async (t) => {
    const { url } = await startHttpProxy(t, "403 Forbidden");
    const { balancer, port, lines } = await throughProxy(t, url);
    await balancer.update(["192.0.2.1:6443"]);
    assert.equal(await askNew(t, port), undefined);
    assert.equal(balancer.servers().find(({ address }) => address === "192.0.2.1:6443")?.state, "failed");
    assert.match(JSON.stringify(lines), /through the proxy: it answers \\"HTTP\/1.1 403 Forbidden\\"/);
  });

  test("takes a proxy that says nothing for a server that does not answer", async (t) => {
    const { address } = await startNamed(t);
    const silent = await startServer(t, () => undefined);
    const { url } = await startHttpProxy(t);
    const dial: ReturnType<typeof dialThrough> = (target, connected) =>
      dialThrough(target === address ? url : new URL(`http://${silent.address}`))(target, connected);
    const { balancer, port } = await startBalancer(t, { dial });
    await balancer.update(["192.0.2.1:6443", address]);
    assert.equal(await askNew(t, port), address);
  });
});

describe("dialThrough(), SOCKS 5", () => {
  const granted = "05000001" + "00000000" + "0000";

  test("reaches the server by its address", async (t) => {
    const { address } = await startNamed(t);
    const { url, messages } = await startSocksProxy(t, ["0500", granted], address);
    const { balancer, port } = await throughProxy(t, url);
    await balancer.update([address]);
    const socket = await open(t, port);
    assert.equal(await ask(socket), address);
    const number = Number(address.split(":")[1]).toString(16).padStart(4, "0");
    assert.deepEqual(messages, ["050100", `050100017f000001${number}`]);
  });

  test("leaves names to the proxy, and shows user and password", async (t) => {
    const { address } = await startNamed(t);
    const { url, messages } = await startSocksProxy(t, ["0502", "0100", `050000030261620000`], address);
    url.username = "u";
    url.password = "pw";
    const { balancer, port } = await throughProxy(t, url);
    await balancer.update(["server.test:6443"]);
    assert.equal(await askNew(t, port), address);
    const name = Buffer.from("server.test").toString("hex");
    assert.deepEqual(messages, ["05020002", "010175027077", `050100030b${name}192b`]);
  });

  const targets = [
    ["[fd00::1]:6443", "04fd000000000000000000000000000001192b"],
    ["[1:2:3:4:5:6:7:8]:6443", "0400010002000300040005000600070008192b"],
  ] as const;
  for (const [target, bytes] of targets)
    test(`asks for ${target}`, async (t) => {
      const { address } = await startNamed(t);
      const { url, messages } = await startSocksProxy(t, ["0500", granted], address);
      const { balancer, port } = await throughProxy(t, url);
      await balancer.update([target]);
      assert.equal(await askNew(t, port), address);
      assert.equal(messages[1], `050100${bytes}`);
    });

  const refusals = [
    ["another protocol", ["4854"], /speaks no SOCKS 5/],
    ["no method that is known", ["05ff"], /in another way/],
    ["a refusal", ["0500", "05050001"], /answers with code 5/],
  ] as const;
  for (const [what, answers, reason] of refusals)
    test(`takes ${what} for a failure`, async (t) => {
      const { url } = await startSocksProxy(t, answers);
      const { balancer, port, lines } = await throughProxy(t, url);
      await balancer.update(["192.0.2.1:6443"]);
      assert.equal(await askNew(t, port), undefined);
      await until("the reason is told", () => Promise.resolve(reason.test(JSON.stringify(lines))));
    });
});

test("dialThrough() refuses what it does not speak, without showing the password", () =>
  assert.throws(
    () => dialThrough(new URL("ftp://u:secret@proxy")),
    (error) => error instanceof LoadBalancerError && error.code === "ERR_LB_PROXY" && !error.message.includes("secret"),
  ));
