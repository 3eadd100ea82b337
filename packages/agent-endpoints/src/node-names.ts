import { BlockList, isIP, isIPv4, SocketAddress } from "node:net";
import type { Logger } from "@k3s/log";
import { RouteRefusal } from "@k3s/supervisor-api";

/** A node that has an address; `isExternal`: as its ExternalIP, which nodes behind one NAT share. */
export interface AddressHolder {
  readonly name: string;
  readonly isExternal: boolean;
}

export interface NodeNamesOptions {
  /** Names and addresses that clients know this server by: those of its certificate. */
  readonly servingSans: readonly string[];
  /** Addresses among them that nodes may share with the server, being those of a NAT. */
  readonly externalIps: readonly string[];
  readonly serviceCidrs: readonly string[];
  /** `ip:port` of every server that serves the API. */
  readonly apiServers: () => readonly string[];
  /** Whose node's an address is. Throws RouteRefusal while that is not known. */
  readonly holderOf: (ip: string) => AddressHolder | undefined;
  /** The node on this server's own machine. */
  readonly localNode: string | undefined;
  readonly log: Logger;
}

/** What a node wants to be called in the certificate of its kubelet. */
export interface WantedNames {
  readonly nodeName: string;
  readonly ips: readonly string[];
  /** Where the request comes from. */
  readonly remoteAddress: string;
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "::1"]); // in every such certificate

/**
 * Keeps names and addresses of servers, of services and of other nodes out of the certificate of a kubelet: it is signed
 * by the CA that everybody trusts servers by. What a node says of itself in the API never gives it an address of a server,
 * nor does where it asks from: servers may have a proxy in front of them, or on their machines.
 */
export class NodeNames {
  readonly #options: NodeNamesOptions;
  readonly #servers: ReadonlySet<string>;
  readonly #shared: ReadonlySet<string>;
  readonly #services = new BlockList();

  constructor(options: NodeNamesOptions) {
    this.#options = options;
    this.#servers = new Set(options.servingSans.map(canonical));
    this.#shared = new Set(options.externalIps.map(canonical));
    for (const range of options.serviceCidrs) {
      const [address = "", length = ""] = range.split("/");
      this.#services.addSubnet(address, Number(length), familyOf(address));
    }
  }

  /** The addresses that the node gets into its certificate. Throws RouteRefusal for what it cannot have. */
  grant(wanted: WantedNames): readonly string[] {
    const { nodeName } = wanted;
    const ips = wanted.ips.map(canonical);
    if (nodeName === this.#options.localNode) return ips;
    if (isIP(nodeName) === 0 && !LOOPBACK.has(nodeName) && this.#servers.has(nodeName))
      throw refusal(`node name ${nodeName} is a name of the servers`);
    if (isIP(nodeName) !== 0 && !this.#isGranted(canonical(nodeName), wanted))
      throw refusal(`node name ${nodeName} is an address of others`);
    return ips.filter((ip) => this.#isGranted(ip, wanted));
  }

  /** False for an address that the node may have, but not in its certificate. */
  #isGranted(ip: string, wanted: WantedNames): boolean {
    const { nodeName, remoteAddress } = wanted;
    if (LOOPBACK.has(ip)) return true;
    if (this.#services.check(ip, familyOf(ip))) throw refusal(`node IP address ${ip} is one of the services'`);
    if (this.#shared.has(ip)) return this.#leaveOut(ip, wanted, "external address of a server");
    if (this.#isOfServer(ip)) {
      // A node on the machine of a server that has none of its own asks from there; so does who comes through a proxy there.
      const from = canonical(remoteAddress);
      if (from !== ip && !LOOPBACK.has(from)) throw refusal(`node IP address ${ip} is that of a server`);
      return this.#leaveOut(ip, wanted, "address of a server");
    }
    const holder = this.#options.holderOf(ip);
    if (holder === undefined || holder.name === nodeName) return true;
    if (holder.isExternal) return this.#leaveOut(ip, wanted, `external address of node ${holder.name}`);
    throw refusal(`node IP address ${ip} is that of node ${holder.name}; delete that node if it is gone`);
  }

  #leaveOut(address: string, { nodeName, remoteAddress }: WantedNames, what: string): false {
    const about = { node: nodeName, address, remote: remoteAddress };
    this.#options.log.warn(about, `${what} is left out of the certificate of a kubelet`);
    return false;
  }

  #isOfServer(ip: string): boolean {
    const hostOf = (server: string) => canonical(server.slice(0, server.lastIndexOf(":")).replace(/^\[|\]$/g, ""));
    return this.#servers.has(ip) || this.#options.apiServers().some((server) => hostOf(server) === ip);
  }
}

/** One text for each address, however it is written; other names in lower case. */
function canonical(name: string): string {
  if (isIP(name) === 0) return name.toLowerCase();
  const { address } = new SocketAddress({ address: name, family: familyOf(name) });
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1]; // the same address to who checks a certificate
  return mapped ?? address;
}

function familyOf(ip: string): "ipv4" | "ipv6" {
  return isIPv4(ip) ? "ipv4" : "ipv6";
}

function refusal(message: string): RouteRefusal {
  return new RouteRefusal({ code: 400, reason: "BadRequest", message });
}
