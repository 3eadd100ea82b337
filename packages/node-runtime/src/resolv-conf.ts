import { isIPv4, isIPv6 } from "node:net";
import { readIfExists, writeFileAtomic } from "@k3s/files";

/** Where resolvers are configured: the host's file, then what systemd-resolved keeps behind its stub. */
const CANDIDATES = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const FALLBACK = "nameserver 8.8.8.8\nnameserver 2001:4860:4860::8888\n";
/** The metadata server of cloud providers answers DNS there, although the address is link-local. */
const METADATA_SERVER = "169.254.169.254";

/**
 * The resolv.conf whose servers pods can reach: the first candidate with at least one nameserver, all of them global
 * unicast. Without one, writes public resolvers to `generatedPath` and returns that.
 */
export async function ensureResolvConf(generatedPath: string, candidates = CANDIDATES): Promise<string> {
  for (const path of candidates) {
    const text = await readIfExists(path);
    if (text !== undefined && isUsableResolvConf(text.toString())) return path;
  }
  await writeFileAtomic(generatedPath, FALLBACK, { mode: 0o644 });
  return generatedPath;
}

/** Whether the text names at least one nameserver and only such as a pod can reach. */
export function isUsableResolvConf(text: string): boolean {
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server]) => server ?? "");
  return servers.length > 0 && servers.every((server) => server === METADATA_SERVER || isGlobalUnicast(server));
}

/** As Go's IP.IsGlobalUnicast: private addresses count, loopback, link-local, multicast, broadcast and zero do not. */
function isGlobalUnicast(address: string): boolean {
  if (isIPv4(address)) return isGlobalIPv4(address);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return isGlobalIPv4(mapped);
  return isIPv6(address) && !/^(::1?$|fe[89ab]|ff)/i.test(address);
}

function isGlobalIPv4(address: string): boolean {
  const [first = 0, second = 0] = address.split(".").map(Number);
  if (address === "0.0.0.0" || address === "255.255.255.255") return false;
  return first !== 127 && first < 224 && !(first === 169 && second === 254);
}
