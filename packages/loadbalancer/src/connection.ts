import type { Socket } from "node:net";
import { resetSocket } from "./reset-socket.ts";

/**
 * A client and a server joined for good: bytes both ways at the pace of the slower one, the end of one direction is passed
 * on alone, a reset ends both. Nothing is kept but what the kernel did not take at once.
 */
export class Connection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #closed: (connection: Connection) => void;
  #openSockets = 2;

  /** Both sockets must allow half-open and have no listeners but of errors; `closed` is told once, when both are gone. */
  constructor(client: Socket, server: Socket, closed: (connection: Connection) => void) {
    this.#client = client;
    this.#server = server;
    this.#closed = closed;
    this.#pass(client, server);
    this.#pass(server, client);
    client.resume(); // it was accepted paused
    server.resume(); // a proxy may have been read from
  }

  /** Bytes read so far from both sides. */
  get bytesRead(): number {
    return this.#client.bytesRead + this.#server.bytesRead;
  }

  /** Resets both sides, so that a truncated answer cannot pass for a whole one. */
  cut(): void {
    resetSocket(this.#client);
    resetSocket(this.#server);
  }

  /** Lets out what was read already, then closes both sides. */
  end(): void {
    this.#client.destroySoon();
    this.#server.destroySoon();
  }

  #pass(from: Socket, to: Socket): void {
    from.on("data", (chunk) => {
      // A read is as large as a full buffer: write() asks for a pause also when the kernel has taken all of it.
      if (!to.write(chunk) && to.writableLength > 0) from.pause();
    });
    to.on("drain", () => {
      if (from.isPaused()) from.resume();
    });
    from.on("end", () => to.end());
    from.on("error", () => resetSocket(to));
    from.on("close", () => {
      // Closed without an end of its own: nothing more can pass in either direction.
      if (!from.readableEnded || !from.writableFinished) to.destroySoon();
      if (--this.#openSockets === 0) this.#closed(this);
    });
  }
}
