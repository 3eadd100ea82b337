import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { deadline } from "@k3s/async";
import { describeError } from "@k3s/errors";
import { decideEgress, type EgressKnowledge, type EgressRoute, type EgressSettings } from "./decide-egress.ts";
import { DisputedAddressError, NoSessionError } from "./errors.ts";
import { parseHostPort, type HostPort } from "./host-port.ts";

export interface EgressProxyOptions {
  readonly settings: EgressSettings;
  readonly knowledge: EgressKnowledge;
  /** {@link TunnelServer.dial}, or a substitute that asks other servers as well. */
  readonly tunnels: { dial(nodeName: string, network: string, address: string): Promise<Duplex> };
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

  /** The connection that a CONNECT to `target` asks for. Rejects with EgressError, also when `signal` aborts: nobody waits any more. */
  async dial(target: string, signal?: AbortSignal): Promise<Duplex> {
    const { knowledge, settings } = this.#options;
    const hostPort = parseHostPort(target);
    if (hostPort === undefined) throw new EgressError(400, `Cannot connect: "${target}" is no host and port`);
    const route = decideEgress(hostPort, knowledge, settings);
    try {
      return await this.#follow(route, hostPort, signal);
    } catch (error) {
      throw new EgressError(502, describeError(error), error);
    }
  }

  async #follow(route: EgressRoute, target: HostPort, signal: AbortSignal | undefined): Promise<Duplex> {
    if (route.via === "nobody") throw new DisputedAddressError(target.host, route.rivals);
    if (route.via === "direct") return dialTcp(route.to, signal);
    try {
      return await this.#options.tunnels.dial(route.nodeName, "tcp", route.address);
    } catch (error) {
      if (!(error instanceof NoSessionError) || route.isKubelet) throw error;
      return dialTcp(target, signal);
    }
  }
}

async function dialTcp(to: HostPort, signal: AbortSignal | undefined): Promise<Duplex> {
  const socket = connect({ ...to, allowHalfOpen: true, noDelay: true, keepAlive: true });
  using limit = deadline(DIAL_LIMIT_MS, `Connecting to ${to.host}:${to.port}`, signal);
  try {
    await once(socket, "connect", { signal: limit });
    return socket;
  } catch (error) {
    socket.destroy();
    throw limit.aborted ? limit.reason : error;
  }
}
