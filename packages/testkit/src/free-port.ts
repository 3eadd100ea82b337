import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/** Below the ports that the kernel gives to clients and to listeners on port 0 (32768 on) and the NodePorts of Kubernetes (30000 on). */
const FIRST_PORT = 12_000;
const PORTS_END = 30_000;
const TRIES = 100;

/**
 * A TCP port for programs that cannot be told to choose one. It was free a moment ago, and no other caller in the network namespace is given it,
 * in this process or another, until this process ends: programs may leave it and take it again.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(FIRST_PORT, PORTS_END);
    const name = await listen(`\0k3s-test-port-${port}`); // an abstract socket: nothing stays of it when the process ends
    if (name === undefined) continue;
    const listener = await listen(port);
    if (listener === undefined) {
      name.close();
      continue;
    }
    name.unref();
    listener.close();
    await once(listener, "close");
    return port;
  }
  throw new Error(`Cannot get a free port: ${TRIES} between ${FIRST_PORT} and ${PORTS_END} are all taken`);
}

/** Undefined where somebody else listens there. */
async function listen(place: string | number): Promise<Server | undefined> {
  const server = createServer().listen(place);
  try {
    await once(server, "listening");
    return server;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return undefined;
    throw error;
  }
}
