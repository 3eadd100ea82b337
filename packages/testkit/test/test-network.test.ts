import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { execa } from "execa";
import { TestNetwork, until } from "../src/index.ts";

const PORT = 8080;
/** Accepts connections, says from whom they are, and then sends as much as it is asked for. */
const SERVER = `
  const server = require("node:net").createServer((socket) => {
    socket.write(socket.remoteAddress + "\\n");
    socket.once("data", (count) => socket.end(Buffer.alloc(Number(count), "x")));
    socket.on("error", () => {});
  });
  server.listen(${PORT}, "0.0.0.0", () => console.log("ready"));
`;
/** Prints who it was taken for, how long the connection and the answer took in milliseconds, and how many bytes came. */
const CLIENT = `
  const [address, count] = process.argv.slice(1);
  const begun = performance.now();
  const socket = require("node:net").connect({ host: address, port: ${PORT}, timeout: 3000 });
  const parts = [];
  socket.on("timeout", () => socket.destroy(new Error("timeout")));
  socket.once("data", () => socket.write(count));
  socket.on("data", (part) => parts.push(part));
  socket.on("end", () => {
    const text = Buffer.concat(parts).toString();
    const [name, rest] = text.split("\\n");
    console.log(JSON.stringify({ name, ms: performance.now() - begun, bytes: rest.length }));
    socket.destroy();
  });
  socket.on("error", (error) => { console.error(error.message); process.exitCode = 1; });
`;

interface Answer {
  readonly name: string;
  readonly ms: number;
  readonly bytes: number;
}

describe("TestNetwork", { timeout: 60_000 }, () => {
  const undo = new AsyncDisposableStack();
  const namespaces = new Map<string, string>();
  let network: TestNetwork;

  const node = (host: string, script: string, ...args: readonly string[]): [string, string[]] => {
    const namespace = namespaces.get(host);
    assert.ok(namespace !== undefined);
    return ["nsenter", [`--net=/run/netns/${namespace}`, process.execPath, "-e", script, "--", ...args]];
  };
  const ask = async (from: string, address: string, bytes = 1): Promise<Answer> =>
    JSON.parse((await execa(...node(from, CLIENT, address, String(bytes)))).stdout) as Answer;
  const serve = async (host: string): Promise<void> => {
    const server: ChildProcess = spawn(...node(host, SERVER), { stdio: ["ignore", "pipe", "inherit"] });
    undo.defer(() => void server.kill());
    assert.ok(server.stdout !== null);
    for await (const line of createInterface({ input: server.stdout })) if (line === "ready") return;
  };

  before(async () => {
    network = undo.use(await TestNetwork.create());
    for (const [host, address] of [
      ["one", "10.99.0.11"],
      ["two", "10.99.0.12"],
      ["home", "10.98.0.2"],
    ] as const)
      namespaces.set(host, await network.plug(host, address));
    await serve("one");
    await serve("home");
  });
  after(() => undo.disposeAsync());

  test("carries packets between hosts", async () => {
    assert.equal((await ask("two", "10.99.0.11")).name, "10.99.0.12");
  });

  test("makes packets late, without losing or changing any", async () => {
    await network.delay("one", 25);
    // Two round trips: the handshake, and the question with its answer.
    const { ms } = await ask("two", "10.99.0.11");
    assert.ok(ms >= 100, `${ms} ms`);
    assert.equal((await ask("two", "10.99.0.11", 20_000_000)).bytes, 20_000_000);
    await network.delay("one", 1);
    assert.equal((await ask("two", "10.99.0.11", 20_000_000)).bytes, 20_000_000);
  });

  test("cuts a host off whose packets are late, and mends it", async () => {
    await network.delay("one", 5);
    await network.cut("one");
    await assert.rejects(ask("two", "10.99.0.11"), /timeout|EHOSTUNREACH/);
    await network.mend("one");
    await until("it answers again", () => ask("two", "10.99.0.11"));
    await network.delay("one", 0);
    assert.equal((await ask("two", "10.99.0.11")).name, "10.99.0.12");
  });

  test("lets a host behind address translation out, and nobody in to it", async () => {
    assert.equal((await ask("home", "10.99.0.11")).name, "10.99.0.1");
    await assert.rejects(ask("two", "10.98.0.2"), /timeout|EHOSTUNREACH/);
  });

  test("refuses addresses of other networks and hosts that it does not know", async () => {
    await assert.rejects(network.plug("else", "192.168.0.1"), /neither in/);
    await assert.rejects(network.cut("else"), /not plugged/);
  });
});
