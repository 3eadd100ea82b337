import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { LoadBalancerError } from "./errors.ts";
import { formatAddress, type HostPort } from "./server-address.ts";

export type Loopback = "127.0.0.1" | "::1";

/** Of both sides of a connection; upstream's value. */
export const KEEP_ALIVE_MS = 30_000;
const BACKLOG = 1024;

/** Rejects with LoadBalancerError when the address cannot be had. Port 0 takes a free one. */
export async function listen({ host, port }: HostPort, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(
    {
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    },
    onConnection,
  );
  server.listen({ host, port, exclusive: true, backlog: BACKLOG });
  try {
    await once(server, "listening");
  } catch (error) {
    throw explain(error, formatAddress({ host, port }));
  }
  return server;
}

/** The port that a listening server got. */
export function portOf(server: Server): number {
  // Sound: a server that listens on TCP has an address of this form.
  return (server.address() as AddressInfo).port;
}

export function otherLoopback(host: Loopback): Loopback {
  return host === "::1" ? "127.0.0.1" : "::1";
}

function explain(error: unknown, address: string): unknown {
  switch (error instanceof Error && "code" in error ? error.code : undefined) {
    case "EADDRINUSE":
      return LoadBalancerError.addressInUse(address, error);
    case "EADDRNOTAVAIL":
      return LoadBalancerError.addressUnavailable(address, error);
    case "EACCES":
      return LoadBalancerError.portForbidden(address, error);
    default:
      return error;
  }
}
