import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { resetSocket } from "@k3s/loadbalancer";
import type { TestContext } from "node:test";

/** A way to a server that can be cut at any moment, without a word to either side. */
export class CutProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#relay(client, connect(targetPort, "127.0.0.1")));
  }

  /** In front of a port on loopback, until the test ends. */
  static async start(t: TestContext, targetPort: number): Promise<CutProxy> {
    const proxy = new CutProxy(targetPort);
    proxy.#server.listen(0, "127.0.0.1");
    t.after(() => {
      proxy.#server.close();
      proxy.cut();
    });
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // sound: it listens on TCP
  }

  /** Resets every connection; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) resetSocket(socket);
  }

  #relay(client: Socket, server: Socket): void {
    const pair = [client, server] as const;
    for (const socket of pair) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        for (const other of pair) other.destroy();
      });
    }
    client.pipe(server);
    server.pipe(client);
  }
}
