import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, request, type RequestOptions } from "node:https";
import type { IncomingMessage } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test, type TestContext } from "node:test";
import { TLSSocket } from "node:tls";
import { ensureAgentPki, ensureServerPki } from "@k3s/pki";
import { CONNECT_PATH, EgressError, EgressProxy, EgressTable, TunnelClient, TunnelServer } from "../src/index.ts";
import { quietLog } from "./support/quiet-log.ts";
import { dialAnything, startTarget, untilState } from "./support/tunnel-fixture.ts";

interface Certificates {
  readonly server: RequestOptions;
  readonly apiserver: RequestOptions;
  readonly agent: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
}

const made: { folder?: string; certificates?: Certificates } = {};

function certificates(): Certificates {
  assert.ok(made.certificates !== undefined);
  return made.certificates;
}

before(async () => {
  const folder = await mkdtemp(join(tmpdir(), "k3s-egress-"));
  made.folder = folder;
  const shared = { serverDir: join(folder, "server"), apiServerUrl: "https://127.0.0.1:6444" };
  const { tls } = await ensureServerPki({ ...shared, clusterDomain: "cluster.local", sans: ["127.0.0.1"] });
  const node = { nodeName: "far", nodeIps: ["10.0.0.2"] };
  const agent = await ensureAgentPki({ ...shared, ...node, agentDir: join(folder, "agent") });
  const pair = async ({ cert, key }: { cert: string; key: string }) => ({
    cert: await readFile(cert),
    key: await readFile(key),
  });
  const ca = await readFile(tls.serverCa.cert);
  made.certificates = {
    server: { ...(await pair(tls.servingApiServer)), ca: await readFile(tls.clientCa.cert) },
    apiserver: { ...(await pair(tls.clientApiServer)), ca },
    agent: { ...(await pair(agent.clientKubelet)), ca },
  };
});
after(async () => {
  if (made.folder !== undefined) await rm(made.folder, { recursive: true, force: true });
});

interface Rig {
  readonly port: number;
  readonly table: EgressTable;
  readonly tunnels: TunnelServer;
  /** Where the node's "kubelet" listens. */
  readonly kubeletPort: number;
}

/** A supervisor's port with tunnel and egress, mutual TLS as with the real peers; `far` is connected unless said otherwise. */
async function startRig(t: TestContext, { hasTunnel = true } = {}): Promise<Rig> {
  const tunnels = new TunnelServer({ log: quietLog });
  const table = new EgressTable();
  const settings = { mode: "cluster", local: { nodeName: "own", kubeletHost: "127.0.0.1" } } as const;
  const egress = new EgressProxy({ settings, knowledge: table, tunnels });
  const https = createServer({ ...certificates().server, requestCert: true, rejectUnauthorized: true });
  https.on("upgrade", (incoming, socket, head) => {
    assert.ok(incoming.socket instanceof TLSSocket);
    const subject = incoming.socket.getPeerX509Certificate()?.subject ?? "";
    const nodeName = /CN=system:node:(.*)$/m.exec(subject)?.[1] ?? "";
    tunnels.accept({ request: incoming, socket, head, nodeName, remoteAddress: incoming.socket.remoteAddress ?? "" });
  });
  https.on("connect", (incoming, socket) => void carry(egress, { target: incoming.url ?? "", socket }));
  https.listen(0, "127.0.0.1");
  t.after(async () => {
    https.close();
    await tunnels.close();
  });
  await once(https, "listening");
  const { port } = https.address() as AddressInfo;
  const kubelet = await startTarget(t, greet);
  const kubeletPort = Number(kubelet.split(":")[1]);
  table.setNode({
    name: "far",
    kubeletPort,
    takesClusterTraffic: true,
    addresses: ["10.0.0.2"],
  });
  if (hasTunnel) await startAgent(t, port);
  return { port, table, tunnels, kubeletPort };
}

/** The port's part of a CONNECT. */
async function carry(egress: EgressProxy, { target, socket }: { target: string; socket: Duplex }): Promise<void> {
  try {
    const remote = await egress.dial(target);
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    await pipeline(socket, remote, socket).catch(() => undefined);
  } catch (error) {
    assert.ok(error instanceof EgressError);
    socket.end(`HTTP/1.1 ${error.status} Refused\r\nConnection: close\r\n\r\n${error.message}`);
  }
}

async function startAgent(t: TestContext, port: number): Promise<void> {
  const client = new TunnelClient({
    endpoint: () => ({ url: `wss://127.0.0.1:${port}${CONNECT_PATH}`, tls: certificates().agent }),
    rules: { authorize: () => true, dial: dialAnything },
    log: quietLog,
  });
  t.after(() => client.stop());
  await untilState(client, "connected");
}

/** Says where a connection came out. */
function greet(socket: Socket): void {
  socket.once("data", (chunk: Buffer) => socket.end(`${chunk.toString()} at ${socket.localPort ?? 0}`));
}

/** As kube-apiserver does it: the Host header names the proxy. */
async function connectTo(rig: Rig, path: string): Promise<{ response: IncomingMessage; socket: Duplex; head: Buffer }> {
  const options = {
    ...certificates().apiserver,
    host: "127.0.0.1",
    port: rig.port,
    method: "CONNECT",
    path,
    agent: false,
  };
  const outgoing = request({ ...options, headers: { Host: "127.0.0.1" } });
  outgoing.end();
  const [response, socket, head] = (await once(outgoing, "connect")) as [IncomingMessage, Duplex, Buffer];
  return { response, socket, head };
}

async function textOf(socket: Duplex): Promise<string> {
  return (await socket.toArray()).join("");
}

describe("EgressProxy over mutual TLS", () => {
  test("reaches a kubelet through the tunnel, by address and by name", async (t) => {
    const rig = await startRig(t);
    for (const target of [`10.0.0.2:${rig.kubeletPort}`, `far:${rig.kubeletPort}`]) {
      const { response, socket, head } = await connectTo(rig, target);
      assert.equal(response.statusCode, 200);
      assert.equal(head.length, 0);
      socket.write("hello");
      assert.equal(await textOf(socket), `hello at ${rig.kubeletPort}`);
    }
  });

  test("reaches a pod through the tunnel of its node", async (t) => {
    const rig = await startRig(t);
    const pod = await startTarget(t, greet);
    rig.table.setPod({ createdAt: "", uid: "a", nodeName: "far", addresses: ["127.0.0.1"] });
    const dialled = t.mock.method(rig.tunnels, "dial");
    const { socket } = await connectTo(rig, pod);
    socket.write("hello");
    assert.match(await textOf(socket), /^hello at/);
    assert.deepEqual(dialled.mock.calls[0]?.arguments, ["far", "tcp", pod]);
  });

  test("answers 502 with k3s's text when a kubelet's node has no tunnel", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const { response, socket, head } = await connectTo(rig, `10.0.0.2:${rig.kubeletPort}`);
    assert.equal(response.statusCode, 502);
    assert.match(String(head) + (await textOf(socket)), /failed to find Session for client far/);
  });

  test("answers 502 with both names when two nodes have one address", async (t) => {
    const rig = await startRig(t);
    const far = { name: "far", kubeletPort: rig.kubeletPort, takesClusterTraffic: true, addresses: ["127.0.0.1"] };
    const both = [far, { ...far, name: "other" }];
    rig.table.setNodes(both);
    const { response, socket, head } = await connectTo(rig, `127.0.0.1:${rig.kubeletPort}`);
    assert.equal(response.statusCode, 502);
    assert.match(String(head) + (await textOf(socket)), /nodes far and other all have address 127\.0\.0\.1/);
    assert.ok(rig.tunnels.comesFrom("far", "127.0.0.1"));
    assert.ok(!rig.tunnels.comesFrom("far", "10.0.0.2"));
    assert.ok(!rig.tunnels.comesFrom("other", "127.0.0.1"));
  });

  test("dials a pod directly when its node has no tunnel", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const pod = await startTarget(t, greet);
    rig.table.setPod({ createdAt: "", uid: "a", nodeName: "far", addresses: ["127.0.0.1"] });
    const { socket } = await connectTo(rig, pod);
    socket.write("hello");
    assert.match(await textOf(socket), /^hello at/);
  });

  test("dials what it does not know directly, and says why it cannot", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const { response, socket, head } = await connectTo(rig, "127.0.0.1:1");
    assert.equal(response.statusCode, 502);
    assert.match(String(head) + (await textOf(socket)), /ECONNREFUSED 127.0.0.1:1/);
  });

  test("dial() rejects with EgressError, for those who answer by other means", async () => {
    const settings = { mode: "agent", local: { nodeName: "own", kubeletHost: "127.0.0.1" } } as const;
    const tunnels = new TunnelServer({ log: quietLog });
    const egress = new EgressProxy({ settings, knowledge: new EgressTable(), tunnels });
    const isOf = (status: number) => (error: unknown) => error instanceof EgressError && error.status === status;
    await assert.rejects(egress.dial("nowhere"), isOf(400));
    await assert.rejects(egress.dial("far:10250"), isOf(502));
  });

  test("dial() does not go on for somebody who has left", async (t) => {
    const settings = { mode: "agent", local: { nodeName: "own", kubeletHost: "127.0.0.1" } } as const;
    const tunnels = new TunnelServer({ log: quietLog });
    const egress = new EgressProxy({ settings, knowledge: new EgressTable(), tunnels });
    const accepted = Promise.withResolvers<Socket>();
    const target = await startTarget(t, (socket) => accepted.resolve(socket.resume()));
    const leaving = new AbortController();
    const dialled = egress.dial(target, leaving.signal);
    leaving.abort(new Error("the client is gone"));
    await assert.rejects(dialled, /the client is gone/);
    await assert.rejects(egress.dial(target, leaving.signal), /the client is gone/);
  });

  test("answers 400 to a target that is none", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const { response } = await connectTo(rig, "nowhere");
    assert.equal(response.statusCode, 400);
  });

  test("closing either side closes both", async (t) => {
    const rig = await startRig(t);
    const accepted = Promise.withResolvers<Socket>();
    const pod = await startTarget(t, (socket) => accepted.resolve(socket.resume()));
    rig.table.setPod({ createdAt: "", uid: "a", nodeName: "far", addresses: ["127.0.0.1"] });
    const { socket } = await connectTo(rig, pod);
    const closed = once(await accepted.promise, "close");
    socket.destroy();
    await closed;
  });

  test("a tunnel takes the way it is given", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const ways: Socket[] = [];
    const client = new TunnelClient({
      endpoint: () => ({
        url: `wss://127.0.0.1:1${CONNECT_PATH}`,
        tls: certificates().agent,
        connect: (connected) => {
          const way = connect({ host: "127.0.0.1", port: rig.port }, connected);
          ways.push(way);
          return way;
        },
      }),
      rules: { authorize: () => true, dial: dialAnything },
      log: quietLog,
    });
    t.after(() => client.stop());
    await untilState(client, "connected");
    ways[0]?.destroy();
    await untilState(client, "waiting");
    await untilState(client, "connected");
    assert.ok(ways.length > 1);
  });

  test("a tunnel whose way fails says why", async (t) => {
    const client = new TunnelClient({
      endpoint: () => ({ url: `wss://127.0.0.1:1${CONNECT_PATH}`, connect: (up) => connect({ port: 1 }, up) }),
      rules: { authorize: () => true, dial: dialAnything },
      log: quietLog,
    });
    t.after(() => client.stop());
    await untilState(client, "waiting");
    assert.match(String(client.status.get().error), /unreachable|failed|ECONNREFUSED/i);
  });

  test("a TLS server that is no member of the cluster gets no tunnel", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const client = new TunnelClient({
      endpoint: () => ({ url: `wss://127.0.0.1:${rig.port}${CONNECT_PATH}` }),
      rules: { authorize: () => true, dial: dialAnything },
      log: quietLog,
    });
    t.after(() => client.stop());
    await untilState(client, "waiting");
    assert.match(String(client.status.get().error), /ERR_TUNNEL_UNREACHABLE|connection failed/);
  });

  test("an upgrade that is no websocket is answered with 400", async (t) => {
    const rig = await startRig(t, { hasTunnel: false });
    const headers = { Connection: "Upgrade", Upgrade: "spdy/3.1" };
    const outgoing = request({
      ...certificates().apiserver,
      host: "127.0.0.1",
      port: rig.port,
      path: CONNECT_PATH,
      agent: false,
      headers,
    });
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    assert.equal(response.statusCode, 400);
    response.resume();
  });

  test("a plain TCP client harms nobody", async (t) => {
    const rig = await startRig(t);
    const socket = connect(rig.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.end("GET / HTTP/1.1\r\n\r\n");
    await once(socket, "close");
    assert.ok(rig.tunnels.hasSession("far"));
  });
});
