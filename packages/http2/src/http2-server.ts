import type { Duplex } from "node:stream";
import { aborted, repeat } from "@k3s/async";
import { ByteCount } from "./byte-count.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { FrameOutput } from "./frame-output.ts";
import { completeLimits, type Limits } from "./limits.ts";

export interface Http2ServerOptions extends Pick<ConnectionOptions, "onRequest"> {
  /** What is left out has the value of a server on loopback. */
  readonly limits?: Partial<Limits>;
}

/** Speaks HTTP/2 on the sockets it is given. Listens on none itself. */
export class Http2Server {
  readonly #limits: Limits;
  readonly #onRequest: ConnectionOptions["onRequest"];
  readonly #connections = new Set<Connection>();
  /** One for all: each write is put together and handed over within one call. */
  readonly #output = new FrameOutput();
  readonly #queued = new ByteCount();
  readonly #closed = new AbortController();
  /** Without connections, and none to come. */
  readonly #empty = Promise.withResolvers<void>();
  #isClosing = false;

  /** Throws RangeError for limits that HTTP/2 cannot express. */
  constructor(options: Http2ServerOptions) {
    this.#limits = completeLimits(options.limits ?? {});
    this.#onRequest = options.onRequest;
    void repeat(this.#limits.sweepMs, () => this.#sweep(), this.#closed.signal); // ends with close(), does not fail
  }

  /** Open connections. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Bytes of answers that wait on all connections, because the peers do not take them. */
  get queuedBytes(): number {
    return this.#queued.bytes;
  }

  /** Takes over a connected socket; it may come from net or tls, and may have bytes that were read and put back. */
  accept(socket: Duplex): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, {
      limits: this.#limits,
      onRequest: this.#onRequest,
      output: this.#output,
      queued: this.#queued,
      clock: () => performance.now(),
      onClose: (closed) => this.#forget(closed),
    });
    this.#connections.add(connection);
  }

  /** Lets running streams end and takes no new ones; cuts what is left when `hurry` aborts. Any number of times. */
  async close(hurry: AbortSignal): Promise<void> {
    this.#isClosing = true;
    for (const connection of this.#connections) connection.leave();
    if (this.#connections.size > 0) await Promise.race([this.#empty.promise, aborted(hurry)]);
    this.#closed.abort();
    for (const connection of this.#connections) connection.destroy();
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#isClosing && this.#connections.size === 0) this.#empty.resolve();
  }

  #sweep(): void {
    for (const connection of this.#connections) connection.sweep();
    const { queuedBytesMax, pressedStallMs } = this.#limits;
    let excess = this.queuedBytes - queuedBytesMax;
    if (excess <= 0) return;
    const stalled = [...this.#connections].filter(({ stalledMs }) => stalledMs > pressedStallMs);
    for (const connection of stalled.sort((a, b) => b.queuedBytes - a.queuedBytes)) {
      if (excess <= 0) return;
      excess -= connection.queuedBytes;
      connection.destroy();
    }
  }
}
