import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { Driver } from "@k3s/datastore";
import { createLogger, type Logger } from "@k3s/log";

interface OpenOptions {
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Rejects as `open` does; waits no longer than until the first warning. Answers with what was logged. */
export async function openUntilWaiting(open: (options: OpenOptions) => Promise<Driver>): Promise<string> {
  const stop = new AbortController();
  const lines: string[] = [];
  const write = (line: string): void => {
    lines.push(line);
    if (line.includes("waiting for the database")) stop.abort(new Error("It waits"));
  };
  const log = createLogger({ level: "info", format: "json", write });
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(30_000)]);
  const driver = await open({ log, signal }).catch((error: unknown) => {
    if (stop.signal.aborted) return undefined;
    throw error;
  });
  await driver?.close();
  return lines.join("");
}

/** A program that greets its clients with these bytes, and never answers. Resolves with its port of 127.0.0.1. */
export async function startGreeter(t: TestContext, greeting: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    if (greeting !== "") socket.write(greeting, "latin1");
    t.after(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port; // sound: it listens on TCP
}
