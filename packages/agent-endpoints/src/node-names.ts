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
 * by the CA that everybody trusts servers by.
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
    if (isIP(nodeName) !== 0) this.#isGranted(canonical(nodeName), wanted);
    return ips.filter((ip) => this.#isGranted(ip, wanted));
  }

  /** False for an address that the node may have, but not in its certificate. */
  #isGranted(ip: string, { nodeName, remoteAddress }: WantedNames): boolean {
    if (LOOPBACK.has(ip)) return true;
    if (this.#services.check(ip, familyOf(ip))) throw refusal(`node IP address ${ip} is one of the services'`);
    const holder = this.#options.holderOf(ip);
    if (holder?.name === nodeName) return true;
    if (holder?.isExternal === true || this.#shared.has(ip)) {
      const about = { node: nodeName, address: ip, holder: holder?.name };
      this.#options.log.warn(about, "external address of another node is left out of the certificate of a kubelet");
      return false;
    }
    if (holder !== undefined)
      throw refusal(`node IP address ${ip} is that of node ${holder.name}; delete that node if it is gone`);
    // A node on the machine of a server that has none of its own asks from there.
    if (canonical(remoteAddress) !== ip) this.#assertNoServer(ip);
    return true;
  }

  #assertNoServer(ip: string): void {
    const hostOf = (server: string) => canonical(server.slice(0, server.lastIndexOf(":")).replace(/^\[|\]$/g, ""));
    if (this.#servers.has(ip) || this.#options.apiServers().some((server) => hostOf(server) === ip))
      throw refusal(`node IP address ${ip} is that of a server`);
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
