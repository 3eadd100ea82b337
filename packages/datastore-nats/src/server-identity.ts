import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { parseServer } from "./parse-server.ts";

/** As `checkServerIdentity` of TLS options. */
type IdentityCheck = (host: string, certificate: PeerCertificate) => Error | undefined;

/** What Node takes for the name of a server that it was told none of. */
const UNNAMED = "localhost";

/**
 * Checks a certificate as Node does, and those of servers that are known by their address by that: the library gives TLS the names of
 * hosts only. Any of the addresses counts then, as it does not tell which one it has connected to. `servers`: `host:port` each.
 */
export function serverIdentityCheck(servers: readonly string[]): IdentityCheck {
  const hosts = servers.map((server) => parseServer(server)?.host ?? "");
  const unnamed = hosts.filter((host) => isIP(host) > 0 || host === UNNAMED);
  return (host, certificate) => {
    const names = host === UNNAMED && unnamed.length > 0 ? unnamed : [host];
    const failures = names.map((name) => checkServerIdentity(name, certificate));
    return failures.includes(undefined) ? undefined : failures[0];
  };
}
