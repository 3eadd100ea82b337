import { BlockList, isIP } from "node:net";
import { LoadBalancerError } from "./errors.ts";

/** The variables of a process. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that the variables name for a URL, by the rules of Go's net/http: HTTPS_PROXY or HTTP_PROXY, NO_PROXY, each also in lower
 * case, and never one for this machine itself. Undefined where there is none. Throws LoadBalancerError when its URL is none.
 */
export function findProxy(serverUrl: string, env: Environment): URL | undefined {
  const url = new URL(serverUrl);
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const text = variable(env, name);
  if (text === "" || isExempt(url, variable(env, "NO_PROXY"))) return undefined;
  const proxy = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (proxy === null) throw LoadBalancerError.invalidProxy(name);
  return proxy;
}

function variable(env: Environment, name: string): string {
  return env[name] || (env[name.toLowerCase()] ?? "");
}

function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  if (host === "localhost" || (isIP(host) !== 0 && LOOPBACK.check(host, familyOf(host)))) return true;
  return noProxy.split(",").some((item) => covers(item.trim().toLowerCase(), host, port));
}

function covers(item: string, host: string, port: string): boolean {
  if (item === "") return false;
  if (item === "*") return true;
  if (item.includes("/")) return isInRange(item, host);
  const [, inBrackets, plain, itsPort] = /^(?:\[(.*)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/.exec(item) ?? [];
  const name = (inBrackets ?? plain ?? "").replace(/^\*(?=\.)/, "");
  if (itsPort !== undefined && itsPort !== port) return false;
  const isAddress = isIP(host) !== 0 || isIP(name) !== 0;
  return name === host || (!isAddress && host.endsWith(`.${name.replace(/^\./, "")}`));
}

function isInRange(range: string, host: string): boolean {
  const [address = "", length = ""] = range.split("/");
  if (isIP(address) === 0 || isIP(address) !== isIP(host) || !/^\d{1,3}$/.test(length)) return false;
  if (Number(length) > (isIP(address) === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(length), familyOf(address));
  return list.check(host, familyOf(host));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");
