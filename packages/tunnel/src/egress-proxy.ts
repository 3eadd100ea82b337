import { once } from "node:events";
import { connect } from "node:net";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { deadline } from "@k3s/async";
import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { decideEgress, type EgressKnowledge, type EgressRoute, type EgressSettings } from "./decide-egress.ts";
import { DisputedAddressError, NoSessionError } from "./errors.ts";
import { parseHostPort, type HostPort } from "./host-port.ts";
import { joinStreams } from "./join-streams.ts";

export interface EgressProxyOptions {
  readonly settings: EgressSettings;
  readonly knowledge: EgressKnowledge;
  /** {@link TunnelServer.dial}, or a substitute that asks other servers as well. */
  readonly tunnels: { dial(nodeName: string, network: string, address: string): Promise<Duplex> };
  readonly log: Logger;
}

/** A CONNECT request whose sender has proved to be in `system:masters`, as node:http gives it with its `connect` event. */
export interface ConnectRequest {
  /** From the request line; kube-apiserver's Host header names the proxy. */
  readonly target: string;
  readonly socket: Duplex;
  /** What came right after the request. */
  readonly head: Buffer;
}

/** Why a CONNECT cannot be served, as its answer. */
export class EgressError extends Error {
  override readonly name = "EgressError";
  readonly status: 400 | 502;

  constructor(status: 400 | 502, message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

const DIAL_LIMIT_MS = 10_000;

/** The HTTP CONNECT proxy through which kube-apiserver reaches nodes and pods. */
export class EgressProxy {
  readonly #options: EgressProxyOptions;

  constructor(options: EgressProxyOptions) {
    this.#options = options;
  }

  /** Answers a CONNECT on `socket` and carries its bytes. Resolves when the answer is given; never rejects. */
  async serve({ target, socket, head }: ConnectRequest): Promise<void> {
    socket.on("error", () => socket.destroy());
    try {
      const remote = await this.dial(target);
      if (socket.destroyed) return void remote.destroy();
      // Nothing may follow the answer before the client has spoken.
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      if (head.length > 0) remote.write(head);
      joinStreams(socket, remote);
    } catch (error) {
      this.#options.log.debug({ target, error }, "egress refused");
      socket.end(answer(error));
    }
  }

  /** The connection that a CONNECT to `target` asks for. Rejects with EgressError. */
  async dial(target: string): Promise<Duplex> {
    const { knowledge, settings } = this.#options;
    const hostPort = parseHostPort(target);
    if (hostPort === undefined) throw new EgressError(400, `Cannot connect: "${target}" is no host and port`);
    const route = decideEgress(hostPort, knowledge, settings);
    try {
      return await this.#follow(route, hostPort);
    } catch (error) {
      throw new EgressError(502, describeError(error), error);
    }
  }

  async #follow(route: EgressRoute, target: HostPort): Promise<Duplex> {
    if (route.via === "nobody") throw new DisputedAddressError(target.host, route.rivals);
    if (route.via === "direct") return dialTcp(route.to);
    try {
      return await this.#options.tunnels.dial(route.nodeName, "tcp", route.address);
    } catch (error) {
      if (!(error instanceof NoSessionError) || route.isKubelet) throw error;
      return dialTcp(target);
    }
  }
}

async function dialTcp(to: HostPort): Promise<Duplex> {
  const socket = connect({ ...to, allowHalfOpen: true, noDelay: true, keepAlive: true });
  using limit = deadline(DIAL_LIMIT_MS, `Connecting to ${to.host}:${to.port}`);
  try {
    await once(socket, "connect", { signal: limit });
    return socket;
  } catch (error) {
    socket.destroy();
    throw limit.aborted ? limit.reason : error;
  }
}

function answer(error: unknown): string {
  const status = error instanceof EgressError ? error.status : 502;
  const text = `${describeError(error)}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(text)}`,
    "Connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${text}`;
}
