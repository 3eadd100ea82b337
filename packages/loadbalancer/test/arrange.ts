import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { abortReason, deadline } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { LoadBalancer, type LoadBalancerOptions } from "../src/load-balancer.ts";

const LIMIT_MS = 15_000;
const GRACE_MS = 5_000;

export interface Balancer {
  readonly balancer: LoadBalancer;
  readonly port: number;
  readonly folder: string;
  /** Lines of the log so far, as objects. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
}

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-lb-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A running load balancer without a server, unless `options` say otherwise; it is stopped after the test. */
export async function startBalancer(t: TestContext, options: Partial<LoadBalancerOptions> = {}): Promise<Balancer> {
  const folder = options.folder ?? (await temporaryFolder(t));
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>);
  const balancer = new LoadBalancer({
    name: "test-balancer",
    serverUrl: "https://127.0.0.1:1",
    folder,
    listen: { host: "127.0.0.1", port: 0 },
    log: createLogger({ level: "debug", format: "json", write }),
    ...options,
  });
  t.after(() => balancer.stop(AbortSignal.timeout(GRACE_MS)));
  await balancer.prepare();
  const context = { signal: t.signal, lost: (error: Error) => lines.push({ msg: "lost", error: error.message }) };
  await balancer.start(context);
  return { balancer, port: Number(new URL(balancer.localUrl).port), folder, lines };
}

/** A server of the test's own process; it is closed, with its connections, after the test. */
export async function startServer(
  t: TestContext,
  onConnection: (socket: Socket) => void,
  port = 0,
): Promise<{ readonly server: Server; readonly address: string; readonly close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  const close = async () => {
    for (const socket of sockets) socket.resetAndDestroy();
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    await closed;
  };
  t.after(close);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

/** A server that answers every chunk with its address. */
export function startNamed(t: TestContext, port = 0) {
  const named = startServer(
    t,
    (socket) => socket.on("data", () => socket.write(`${socket.localAddress}:${socket.localPort}\n`)),
    port,
  );
  return named;
}

/** A named server in a process of its own; it is killed after the test. */
export async function forkNamed(t: TestContext): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const child = fork(join(import.meta.dirname, "fixtures/named-server.ts"));
  t.after(() => child.kill("SIGKILL"));
  const [port] = (await once(child, "message")) as [number];
  return { child, address: `127.0.0.1:${port}` };
}

export async function open(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  t.after(() => socket.destroy());
  await once(socket, "connect");
  socket.on("error", () => socket.destroy());
  return socket;
}

/** Sends a chunk and returns what comes back first; undefined when the connection ends instead. */
export function ask(socket: Socket): Promise<string | undefined> {
  const answer = new Promise<string | undefined>((resolve) => {
    socket.once("data", (chunk) => resolve(String(chunk).trim()));
    socket.once("close", () => resolve(undefined));
    socket.once("end", () => resolve(undefined));
  });
  socket.write("who?\n");
  return within("Waiting for an answer", answer);
}

/** What a new client of the load balancer is told. */
export async function askNew(t: TestContext, port: number): Promise<string | undefined> {
  const socket = await open(t, port);
  try {
    return await ask(socket);
  } finally {
    socket.destroy();
  }
}

/** Resolves when the other side has ended the connection, in whatever way. */
export function closed(socket: Socket): Promise<unknown> {
  if (socket.closed) return Promise.resolve();
  if (socket.readableEnded) socket.end();
  socket.on("end", () => socket.end());
  socket.resume();
  return within("Waiting for the end of a connection", new Promise((resolve) => void socket.once("close", resolve)));
}

async function within<T>(what: string, task: Promise<T>): Promise<T> {
  using limit = deadline(LIMIT_MS, what);
  const late = new Promise<never>((_, reject) => {
    limit.addEventListener("abort", () => reject(abortReason(limit)), { once: true });
  });
  return await Promise.race([task, late]);
}

/** So many, and the queue is full. */
const DROPPED_IN_A_ROW = 3;

/**
 * An address that answers no connection attempt: its listener is frozen and its queue full, so the kernel drops what comes.
 * Thawed by SIGCONT of the child.
 */
export async function startStalled(
  t: TestContext,
): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const named = await forkNamed(t);
  named.child.kill("SIGSTOP");
  await fillQueue(t, named.address);
  return named;
}

async function fillQueue(t: TestContext, address: string): Promise<void> {
  const port = Number(address.split(":")[1]);
  // One that is late may be the doing of a busy machine.
  for (let i = 0, dropped = 0; i < 5_000; i++) {
    const socket = connect({ host: "127.0.0.1", port });
    t.after(() => socket.destroy());
    socket.on("error", () => socket.destroy());
    const isQueued = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket.setTimeout(200), "timeout").then(() => false),
    ]);
    dropped = isQueued ? 0 : dropped + 1;
    if (dropped === DROPPED_IN_A_ROW) return;
  }
  throw new Error(`Cannot fill the queue of ${address}`);
}

/** {@link until} for what can be told at once. */
export function untilTrue(what: string, check: () => boolean): Promise<boolean> {
  return until(what, () => Promise.resolve(check()));
}
