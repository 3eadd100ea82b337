import type { Connection } from "./connection.ts";

/** Requests that kube-apiserver has in hand: of all, and of one source. */
interface Forwards {
  readonly all: number;
  readonly same: number;
}

/** The connections of clients that have not shown who they are, by where they come from. */
export class UnprovenConnections {
  /** Both in the order of arrival. */
  readonly #sources = new Map<string, Set<Connection>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(connection: Connection): void {
    const { source } = connection;
    const connections = this.#sources.get(source) ?? new Set();
    this.#sources.set(source, connections.add(connection));
    this.#size += 1;
  }

  /** Does nothing when it is not among them. */
  remove(connection: Connection): void {
    const connections = this.#sources.get(connection.source);
    if (connections?.delete(connection) !== true) return;
    this.#size -= 1;
    if (connections.size === 0) this.#sources.delete(connection.source);
  }

  /**
   * Who makes room: the oldest of the source that has most, so that a source can only push out its own once it has more
   * than others. Who waits for an answer goes last.
   */
  victimOf(newcomer: Connection): Connection | undefined {
    let most: ReadonlySet<Connection> = new Set();
    for (const connections of this.#sources.values()) if (connections.size > most.size) most = connections;
    let oldest: Connection | undefined;
    for (const connection of most) {
      if (connection === newcomer) continue;
      if (connection.inFlight === 0) return connection;
      oldest ??= connection;
    }
    return oldest;
  }

  forwards(source: string): Forwards {
    let all = 0;
    let same = 0;
    for (const [name, connections] of this.#sources) {
      let sum = 0;
      for (const connection of connections) sum += connection.forwards;
      all += sum;
      if (name === source) same = sum;
    }
    return { all, same };
  }
}
