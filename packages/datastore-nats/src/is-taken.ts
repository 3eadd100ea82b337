import { once } from "node:events";
import { connect } from "node:net";
import { parseServer } from "./parse-server.ts";

const DEFAULT_PORT = 4222;
/** They were asked before; only the connection itself is of interest. */
const LIMIT_MS = 1000;

/** Whether one of these servers, `host:port` each, takes connections, whatever it speaks. */
export async function isTaken(servers: readonly string[]): Promise<boolean> {
  const answers = await Promise.all(servers.map(takesConnection));
  return answers.includes(true);
}

async function takesConnection(server: string): Promise<boolean> {
  const address = parseServer(server);
  if (address === undefined) return false;
  const socket = connect({ host: address.host, port: Number(address.port || DEFAULT_PORT) });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(LIMIT_MS) });
    return true;
  } catch {
    return false; // that is the answer
  } finally {
    socket.on("error", () => undefined).destroy();
  }
}
