import { BlockList, isIP, isIPv4 } from "node:net";
import type { Logger } from "@k3s/log";
import { RouteRefusal } from "@k3s/supervisor-api";
import { canonical, type ServerNames } from "./server-names.ts";

/** A node that has an address. */
export interface AddressHolder {
  readonly name: string;
  /** It has it as its ExternalIP, which nodes behind one NAT share. */
  readonly isExternal: boolean;
  /** It is connected to this server from there. */
  readonly isShown: boolean;
}

export interface NodeNamesOptions {
  readonly servers: ServerNames;
  readonly serviceCidrs: readonly string[];
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
  readonly #services = new BlockList();

  constructor(options: NodeNamesOptions) {
    this.#options = options;
    for (const range of options.serviceCidrs) {
      const [address = "", length = ""] = range.split("/");
      this.#services.addSubnet(address, Number(length), familyOf(address));
    }
  }

  /** The addresses that the node gets into its certificate. Throws RouteRefusal for what it cannot have. */
  grant(wanted: WantedNames): readonly string[] {
    const { nodeName } = wanted;
    const { servers } = this.#options;
    const ips = wanted.ips.map(canonical);
    if (nodeName === this.#options.localNode) return ips;
    if (isIP(nodeName) === 0 && !LOOPBACK.has(nodeName) && servers.has(nodeName))
      throw refusal(`node name ${nodeName} is a name of the servers`);
    if (isIP(nodeName) !== 0 && !this.#isGranted(canonical(nodeName), wanted))
      throw refusal(`node name ${nodeName} is an address of others`);
    return ips.filter((ip) => this.#isGranted(ip, wanted));
  }

  /** False for an address that the node may have, but not in its certificate. */
  #isGranted(ip: string, wanted: WantedNames): boolean {
    const { nodeName, remoteAddress } = wanted;
    const { servers, holderOf } = this.#options;
    if (LOOPBACK.has(ip)) return true;
    if (this.#services.check(ip, familyOf(ip))) throw refusal(`node IP address ${ip} is one of the services'`);
    if (servers.shares(ip)) return this.#leaveOut(ip, wanted, "external address of a server");
    if (servers.has(ip)) {
      // A node on the machine of a server that has none of its own asks from there; so does who comes through a proxy there.
      const from = canonical(remoteAddress);
      if (from !== ip && !LOOPBACK.has(from)) throw refusal(`node IP address ${ip} is that of a server`);
      return this.#leaveOut(ip, wanted, "address of a server");
    }
    const holder = holderOf(ip);
    if (holder === undefined || holder.name === nodeName) return true;
    if (holder.isExternal) return this.#leaveOut(ip, wanted, `external address of node ${holder.name}`);
    // The other one may be gone; or both are behind routers of their own, in networks with the same addresses.
    if (canonical(remoteAddress) === ip && !holder.isShown) return true;
    return this.#leaveOut(ip, wanted, `address of node ${holder.name}`);
  }

  #leaveOut(address: string, { nodeName, remoteAddress }: WantedNames, what: string): false {
    const about = { node: nodeName, address, remote: remoteAddress };
    this.#options.log.warn(about, `${what} is left out of the certificate of a kubelet`);
    return false;
  }
}

function familyOf(ip: string): "ipv4" | "ipv6" {
  return isIPv4(ip) ? "ipv4" : "ipv6";
}

function refusal(message: string): RouteRefusal {
  return new RouteRefusal({ code: 400, reason: "BadRequest", message });
}
