import { canonicalIp } from "@k3s/pki";

export interface ServerNamesOptions {
  /** Names and addresses that clients know this server by: those of its certificate. */
  readonly servingSans: readonly string[];
  /** Addresses among them that nodes may share with the server, being those of a NAT. */
  readonly externalIps: readonly string[];
  /** `ip:port` of every server that serves the API. */
  readonly apiServers: () => readonly string[];
}

/** What clients know servers by, and no node may be taken for. */
export class ServerNames {
  readonly #names: ReadonlySet<string>;
  readonly #shared: ReadonlySet<string>;
  readonly #apiServers: () => readonly string[];

  constructor({ servingSans, externalIps, apiServers }: ServerNamesOptions) {
    this.#shared = new Set(externalIps.map(canonical));
    this.#names = new Set(servingSans.map(canonical).filter((name) => !this.#shared.has(name)));
    this.#apiServers = apiServers;
  }

  /** Whether a name or an address is a server's alone. */
  has(name: string): boolean {
    return this.#names.has(canonical(name)) || this.servesApiAt(name);
  }

  /** Whether an address is that of a NAT which this server has in common with nodes. */
  shares(ip: string): boolean {
    return this.#shared.has(canonical(ip));
  }

  /** Whether a server serves the API at this address now. */
  servesApiAt(ip: string): boolean {
    const wanted = canonical(ip);
    return this.#apiServers().some((server) => canonical(hostOf(server)) === wanted);
  }
}

/** One text for each address, however it is written; other names in lower case. */
export function canonical(name: string): string {
  return canonicalIp(name) ?? name.toLowerCase();
}

function hostOf(server: string): string {
  return server.slice(0, server.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}
