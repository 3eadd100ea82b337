import { once } from "node:events";
import { createServer } from "node:net";

/** 0.0.0.0, and :: in all its spellings. */
const EVERY_ADDRESS = /^(?:0\.0\.0\.0|[0:]+)$/;
/** How a machine answers that has no IPv6, or has it switched off. */
const NO_IPV6: ReadonlySet<unknown> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL"]);

/**
 * The host to listen on for `host`. Where that means every address it is `::`, which takes connections of IPv4 as well, as Go does for
 * either wildcard; without IPv6 on loopback it is `0.0.0.0`: clients on this machine are told that address, so it has to lead here.
 */
export async function listenHost(host: string): Promise<string> {
  if (!EVERY_ADDRESS.test(host)) return host;
  return (await hasIpv6()) ? "::" : "0.0.0.0";
}

/** Other trouble is left to whoever listens, and knows the address. */
async function hasIpv6(): Promise<boolean> {
  const probe = createServer((connection) => connection.destroy()).listen({ host: "::1", port: 0 });
  try {
    await once(probe, "listening");
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && NO_IPV6.has(error.code));
  } finally {
    probe.close();
  }
}
