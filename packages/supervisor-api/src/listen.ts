import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { SupervisorError } from "./errors.ts";

export interface ListenOptions {
  /** Undefined: every address, of both families where there are both. */
  readonly bindAddress: string | undefined;
  /** 0 takes a free one. */
  readonly port: number;
  readonly onConnection: (socket: Socket) => void;
  /** Told of connections that could not be accepted; listening goes on. */
  readonly onError: (error: Error) => void;
}

/** TCP keep-alive of accepted connections, as upstream has it. */
const KEEP_ALIVE_MS = 180_000;
const LOOPBACKS = ["127.0.0.1", "::1"];

/**
 * Listens on the address, and with a specific one on the loopbacks too, where they can be had.
 * Rejects with SupervisorError when the address itself cannot be had; then nothing listens.
 */
export async function listen(options: ListenOptions): Promise<readonly Server[]> {
  const first = await open(options.bindAddress, options.port, options).catch((error: unknown) => {
    throw explain(error, options);
  });
  if (options.bindAddress === undefined) return [first];
  // The address may be a loopback, or include it: then there is nothing to add, as when there is no IPv6.
  const others = LOOPBACKS.filter((address) => address !== options.bindAddress);
  const opened = await Promise.allSettled(others.map((address) => open(address, portOf(first), options)));
  return [first, ...opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []))];
}

/** The port that a listening server got. */
export function portOf(server: Server): number {
  // Sound: a server that listens on TCP has an address of this form.
  return (server.address() as AddressInfo).port;
}

async function open(host: string | undefined, port: number, options: ListenOptions): Promise<Server> {
  const server = createServer(
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
    options.onConnection,
  );
  server.listen({ port, exclusive: true, ...(host === undefined ? {} : { host }) });
  await once(server, "listening");
  server.on("error", options.onError);
  return server;
}

function explain(error: unknown, { bindAddress, port }: ListenOptions): unknown {
  switch (error instanceof Error && "code" in error ? error.code : undefined) {
    case "EADDRINUSE":
      return SupervisorError.portTaken(port, error);
    case "EADDRNOTAVAIL":
      return SupervisorError.addressUnavailable(bindAddress ?? "::", error);
    case "EACCES":
      return SupervisorError.portForbidden(port, error);
    default:
      return error;
  }
}
