import { request, type ClientRequest, type RequestOptions } from "node:http";
import { Agent } from "node:https";
import type { Credentials } from "./credentials.ts";

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
}

export interface UpstreamHead {
  readonly method: string;
  readonly target: string;
  readonly headers: string[];
  /** The request carries X-Remote-User: only then may it use the front proxy's certificate. */
  readonly carriesIdentity: boolean;
}

/** Idle connections are given up well before kube-apiserver does it (90 s), so that none is used in its last moment. */
const IDLE_MS = 30_000;
const IDLE_CONNECTIONS_MAX = 16;
const HEADER_BYTES_MAX = 256 * 1024;

/**
 * Connections to kube-apiserver: one pool with the front proxy's certificate, for requests that carry an identity,
 * and one without, for everything else. What comes from an unknown client never travels on a trusted connection.
 */
export class Upstream {
  readonly #address: UpstreamAddress;
  #trusted: Agent;
  #plain: Agent;

  constructor(address: UpstreamAddress, credentials: Credentials) {
    this.#address = address;
    this.#trusted = trustedAgent(credentials);
    this.#plain = plainAgent(credentials);
  }

  /** Begins a request. The caller ends it and listens for its events. */
  request(head: UpstreamHead): ClientRequest {
    const options: RequestOptions = {
      ...this.#address,
      protocol: "https:",
      method: head.method,
      path: head.target,
      headers: head.headers,
      maxHeaderSize: HEADER_BYTES_MAX,
      agent: head.carriesIdentity ? this.#trusted : this.#plain,
    };
    return request(options);
  }

  /** New connections use these; requests in flight go on with the ones they have. */
  use(credentials: Credentials): void {
    const old = [this.#trusted, this.#plain];
    this.#trusted = trustedAgent(credentials);
    this.#plain = plainAgent(credentials);
    for (const agent of old) closeIdle(agent);
  }

  close(): void {
    this.#trusted.destroy();
    this.#plain.destroy();
  }
}

const POOL = {
  keepAlive: true,
  maxSockets: Infinity,
  maxFreeSockets: IDLE_CONNECTIONS_MAX,
  scheduling: "lifo",
  timeout: IDLE_MS,
  minVersion: "TLSv1.2",
} as const;

function trustedAgent({ serverCa, proxyCertificate, proxyKey }: Credentials): Agent {
  return new Agent({ ...POOL, ca: serverCa, cert: proxyCertificate, key: proxyKey });
}

function plainAgent({ serverCa }: Credentials): Agent {
  return new Agent({ ...POOL, ca: serverCa });
}

function closeIdle(agent: Agent): void {
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}
