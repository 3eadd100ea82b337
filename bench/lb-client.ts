// The client of the balancers. Each message asks for one measurement and is answered with its result.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { sleep } from "@k3s/async";

/** What the client can do. */
export type Order =
  | { readonly kind: "stream"; readonly port: number; readonly connections: number; readonly seconds: number }
  | { readonly kind: "open"; readonly port: number; readonly connections: number }
  | { readonly kind: "ping"; readonly count: number }
  | { readonly kind: "close" };

export interface Answer {
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

const READ_BUFFER = Buffer.alloc(256 << 10);
const PING = Buffer.alloc(64, "p");
const AT_A_TIME = 50;
const NOTHING: Answer = { bytes: 0, seconds: 0, p50Micros: 0, p99Micros: 0 };

interface Pinger {
  readonly socket: Socket;
  answered: () => void;
}

const pingers: Pinger[] = [];

async function stream({ port, connections, seconds }: Order & { kind: "stream" }): Promise<Answer> {
  let bytes = 0;
  const sockets = Array.from({ length: connections }, () => {
    const count = (read: number) => {
      bytes += read;
      return true;
    };
    const socket = connect({ port, host: "127.0.0.1", onread: { buffer: READ_BUFFER, callback: count } });
    socket.on("error", () => socket.destroy());
    socket.write("S");
    return socket;
  });
  await sleep(1_000);
  const [before, startedAt] = [bytes, performance.now()];
  process.send?.("warm");
  await sleep(seconds * 1_000);
  const answer = { ...NOTHING, bytes: bytes - before, seconds: (performance.now() - startedAt) / 1_000 };
  for (const socket of sockets) socket.destroy();
  return answer;
}

async function open({ port, connections }: Order & { kind: "open" }): Promise<Answer> {
  while (pingers.length < connections) {
    const batch = Array.from({ length: Math.min(AT_A_TIME, connections - pingers.length) }, () => openOne(port));
    pingers.push(...(await Promise.all(batch)));
  }
  for (const pinger of pingers) await ping(pinger);
  return NOTHING;
}

async function openOne(port: number): Promise<Pinger> {
  const pinger: Pinger = { socket: connect({ port, host: "127.0.0.1", noDelay: true }), answered: () => undefined };
  await once(pinger.socket, "connect");
  pinger.socket.on("error", () => pinger.socket.destroy());
  pinger.socket.on("data", () => pinger.answered());
  return pinger;
}

function ping(pinger: Pinger): Promise<void> {
  return new Promise((resolve) => {
    pinger.answered = resolve;
    pinger.socket.write(PING);
  });
}

/** One in flight, over all open connections in turn. */
async function pingAll(count: number): Promise<Answer> {
  const micros = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const pinger = pingers[i % pingers.length];
    if (pinger === undefined) throw new Error("Cannot ping: no connection is open");
    const startedAt = performance.now();
    await ping(pinger);
    micros[i] = (performance.now() - startedAt) * 1_000;
  }
  micros.sort();
  const at = (part: number) => micros[Math.floor(count * part)] ?? Number.NaN;
  return { ...NOTHING, p50Micros: at(0.5), p99Micros: at(0.99) };
}

async function follow(order: Order): Promise<Answer> {
  switch (order.kind) {
    case "stream":
      return stream(order);
    case "open":
      return open(order);
    case "ping":
      return pingAll(order.count);
    case "close":
      for (const { socket } of pingers.splice(0)) socket.destroy();
      return NOTHING;
  }
}

process.on("message", (order: Order) => {
  const run = async () => process.send?.(await follow(order));
  void run();
});
process.send?.("ready");
