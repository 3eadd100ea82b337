import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { resetSocket } from "@k3s/loadbalancer";

/** A way to a TCP server on loopback on which connections can be cut. */
export class FaultProxy implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = (server.address() as AddressInfo).port; // sound: it listens on TCP
  }

  /** Passes on to `port`, also when nobody listens there yet. */
  static async start(port: number): Promise<FaultProxy> {
    const sockets = new Set<Socket>();
    const server = createServer((client) => join(client, connect({ port, host: "127.0.0.1" }), sockets));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FaultProxy(server, sockets);
  }

  /** Ends all connections, wherever in a message they are. */
  cut(): void {
    for (const socket of this.#sockets) resetSocket(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }
}

/** The end of one is the end of the other. */
function join(client: Socket, upstream: Socket, sockets: Set<Socket>): void {
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => undefined); // "close" follows
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
    socket.pipe(other);
  }
}
