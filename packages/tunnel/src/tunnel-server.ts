import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Logger } from "@k3s/log";
import { WebSocketServer } from "ws";
import { NoSessionError } from "./errors.ts";
import { agreedFlowControl, FLOW_OFFER, SERVER_TIMES } from "./session-defaults.ts";
import { TunnelSession, type SessionTimes } from "./tunnel-session.ts";
import { WEB_SOCKET_OPTIONS, WebSocketChannel } from "./web-socket-channel.ts";

/** An authenticated request to open a tunnel, as node:http gives it with its `upgrade` event. */
export interface TunnelRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** What came right after the request. */
  readonly head: Buffer;
  /** Who it is, by its certificate. */
  readonly nodeName: string;
}

export interface TunnelServerOptions {
  readonly times?: Partial<SessionTimes>;
  readonly log: Logger;
}

/** Of one node: more than it has ways to this server, few enough that one node cannot use the server up. */
const SESSIONS_MAX = 8;

/** Takes the tunnels of nodes and dials through them. */
export class TunnelServer {
  readonly #times: SessionTimes;
  readonly #log: Logger;
  readonly #webSockets = new WebSocketServer({ ...WEB_SOCKET_OPTIONS, noServer: true, clientTracking: false });
  /** By node, oldest first. */
  readonly #sessions = new Map<string, TunnelSession[]>();
  #sessionKeys = 0;
  #isClosed = false;

  constructor({ times, log }: TunnelServerOptions) {
    this.#times = { ...SERVER_TIMES, ...times };
    this.#log = log;
    this.#webSockets.on("headers", (headers, request) => {
      if (agreedFlowControl(request.headers) === "perDirection")
        for (const [name, value] of Object.entries(FLOW_OFFER)) headers.push(`${name}: ${value}`);
    });
  }

  /** Answers the handshake (400 when it is none) and serves the session until it ends. The caller has authenticated the node. */
  accept({ request, socket, head, nodeName }: TunnelRequest): void {
    if (this.#isClosed) return void socket.destroy();
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("error", () => undefined); // the channel listens as well
      const session = new TunnelSession({
        channel: new WebSocketChannel(webSocket, socket),
        flowControl: agreedFlowControl(request.headers),
        times: this.#times,
        key: `${nodeName}/${++this.#sessionKeys}`,
        log: this.#log,
      });
      void this.#keep(nodeName, session); // `ended` never rejects
    });
  }

  /** Nodes with a session. */
  get nodeNames(): readonly string[] {
    return [...this.#sessions.keys()];
  }

  hasSession(nodeName: string): boolean {
    return this.#sessions.has(nodeName);
  }

  /**
   * A connection from the node to `address`. Rejects with NoSessionError when the node has no tunnel. Whether the node can dial is not
   * told by the protocol: a stream that it cannot connect ends with its error.
   */
  dial(nodeName: string, network: string, address: string): Promise<Duplex> {
    return new Promise((resolve) => {
      const session = this.#pick(nodeName);
      if (session === undefined) throw new NoSessionError(nodeName);
      resolve(session.open({ network, address }));
    });
  }

  /** Ends every session, with all connections; the nodes may come again. */
  endSessions(): void {
    for (const session of [...this.#sessions.values()].flat()) session.close();
  }

  /** Ends every session, with all connections, and takes no more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#sessions.values()].flat();
    this.endSessions();
    await Promise.all(all.map((session) => session.ended));
  }

  async #keep(nodeName: string, session: TunnelSession): Promise<void> {
    const sessions = [...(this.#sessions.get(nodeName) ?? []), session];
    this.#sessions.set(nodeName, sessions);
    if (sessions.length > SESSIONS_MAX) sessions[0]?.close();
    this.#log.info({ node: nodeName }, "tunnel of node is open");
    const error = await session.ended;
    const left = (this.#sessions.get(nodeName) ?? []).filter((other) => other !== session);
    if (left.length > 0) this.#sessions.set(nodeName, left);
    else this.#sessions.delete(nodeName);
    this.#log.info({ node: nodeName, ...(error === undefined ? {} : { error }) }, "tunnel of node is closed");
  }

  /**
   * The newest session that has been heard lately, since a node opens another one when it has given up the last;
   * failing that, the one that was heard last.
   */
  #pick(nodeName: string): TunnelSession | undefined {
    const sessions = (this.#sessions.get(nodeName) ?? []).filter((session) => !session.isOver);
    return (
      sessions.findLast(({ silenceMs }) => silenceMs <= this.#times.silentAfterMs) ??
      sessions.toSorted((a, b) => a.silenceMs - b.silenceMs)[0]
    );
  }
}
