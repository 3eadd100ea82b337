import { once } from "node:events";
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Agent, type RequestOptions } from "node:https";
import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type SecureContextOptions } from "node:tls";
import { WebSocket } from "ws";
import { TunnelError } from "./errors.ts";
import type { FlowControl } from "./flow-gate.ts";
import { agreedFlowControl, FLOW_OFFER } from "./session-defaults.ts";
import { WEB_SOCKET_OPTIONS, WebSocketChannel } from "./web-socket-channel.ts";

/** A server that takes tunnels, and how it is reached. */
export interface TunnelEndpoint {
  /** `wss://<host>:<port>/v1-k3s/connect`. */
  readonly url: string;
  readonly headers?: OutgoingHttpHeaders;
  /** `ca`, `cert` and `key`: what the server is trusted by, and who this node is. */
  readonly tls?: Pick<SecureContextOptions, "ca" | "cert" | "key">;
  /** Begins the connection that TLS is then spoken on, `connected` is called when the server is at its other end; by default there is nothing between. */
  readonly connect?: (connected: () => void) => Socket;
}

export interface OpenedChannel {
  readonly channel: WebSocketChannel;
  readonly flowControl: FlowControl;
}

const HANDSHAKE_LIMIT_MS = 5_000;

/** Opens a tunnel's websocket. Rejects with TunnelError, or with the reason of `signal`. */
export async function openWebSocket(
  { url, headers, tls, connect }: TunnelEndpoint,
  signal: AbortSignal,
): Promise<OpenedChannel> {
  const webSocket = new WebSocket(url, {
    ...WEB_SOCKET_OPTIONS,
    ...tls,
    ...(connect === undefined ? {} : { agent: new WayAgent(connect, tls) }),
    ...(url.startsWith("wss:") ? { generateMask: noMask } : {}),
    headers: { ...headers, ...FLOW_OFFER },
    handshakeTimeout: HANDSHAKE_LIMIT_MS,
    followRedirects: false,
  });
  webSocket.on("error", () => undefined); // after once() below has let go of it
  webSocket.once("open", () => webSocket.pause()); // until the session listens
  let refusal: TunnelError | undefined;
  webSocket.once("unexpected-response", (_request, response) => {
    refusal = TunnelError.refused(url, response.statusCode ?? 0);
    webSocket.terminate();
  });
  const upgraded = new Promise<IncomingMessage>((resolve) => {
    webSocket.once("upgrade", resolve);
  });
  try {
    await once(webSocket, "open", { signal });
  } catch (error) {
    webSocket.terminate();
    throw refusal ?? (signal.aborted ? signal.reason : TunnelError.unreachable(url, error));
  }
  const response = await upgraded;
  return {
    channel: new WebSocketChannel(webSocket, response.socket),
    flowControl: agreedFlowControl(response.headers),
  };
}

/** Speaks TLS on connections that are made in another way. */
class WayAgent extends Agent {
  readonly #connect: NonNullable<TunnelEndpoint["connect"]>;
  readonly #tls: TunnelEndpoint["tls"];

  constructor(connect: NonNullable<TunnelEndpoint["connect"]>, tls: TunnelEndpoint["tls"]) {
    super();
    this.#connect = connect;
    this.#tls = tls;
  }

  override createConnection(
    options: RequestOptions,
    created?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const host = options.host ?? "";
    const servername = isIP(host) === 0 ? host : "";
    const socket = this.#connect(() => {
      socket.setTimeout(0);
      socket.removeAllListeners("error");
      created?.(null, connectTls({ ...this.#tls, host, servername, socket }));
    });
    socket.setTimeout(HANDSHAKE_LIMIT_MS, () => socket.destroy(new Error("No answer in time")));
    socket.once("error", (error) => created?.(error, socket));
  }
}

/**
 * Masks keep what a client sends from looking like another protocol to something on the way (RFC 6455, 10.3). Inside TLS there is nothing on
 * the way, and a mask of zeros, which every receiver takes, saves both sides a third of their processor time.
 */
function noMask(mask: Buffer): void {
  mask.fill(0);
}
