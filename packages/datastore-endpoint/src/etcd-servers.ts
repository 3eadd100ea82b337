import { EndpointError } from "./errors.ts";
import { quotePart } from "./redact-endpoint.ts";

const SECURE: ReadonlySet<string> = new Set(["https", "unixs"]);
const SCHEMES: ReadonlySet<string> = new Set(["http", "https", "unix", "unixs"]);

/**
 * The addresses of an external etcd, each with its scheme, from `https://a:2379,https://b:2379`. One without a scheme has that of
 * the one before. Throws EndpointError.
 */
export function parseEtcdServers(endpoint: string): readonly string[] {
  const quote = (part: string) => quotePart(endpoint, part);
  const fail: Fail = (reason) => EndpointError.malformed(endpoint, typeof reason === "string" ? reason : reason(quote));
  const servers: string[] = [];
  let scheme = "";
  for (const item of endpoint.split(",").map((text) => text.trim())) {
    const [, own, rest = ""] = /^(?:([a-z]+):\/\/)?(.*)$/s.exec(item) ?? [];
    if (own !== undefined && !SCHEMES.has(own)) throw fail((quote) => `${quote(own)} is no scheme of an etcd`);
    if (own !== undefined && scheme !== "" && SECURE.has(own) !== SECURE.has(scheme))
      throw fail("some servers are reached by TLS and others are not, and clients of etcd decide it once for all");
    scheme = own ?? scheme;
    servers.push(scheme.startsWith("unix") ? readSocket(scheme, rest, fail) : readHost(scheme, rest, fail));
  }
  return servers;
}

/** A reason that shows parts of the endpoint has them quoted by the function it is given. */
type Fail = (reason: string | ((quote: (part: string) => string) => string)) => EndpointError;

function readSocket(scheme: string, path: string, fail: Fail): string {
  if (path === "") throw fail(`there is no path behind ${scheme}://`);
  return `${scheme}://${path}`;
}

function readHost(scheme: string, text: string, fail: Fail): string {
  if (text === "") throw fail("there is an empty item among the servers");
  if (text.includes("@")) throw fail("an etcd takes no user and password here, only a client certificate");
  const [, host, port, rest = ""] = /^(\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d+))?(.*)$/is.exec(text) ?? [];
  if (host === undefined) throw fail((quote) => `${quote(text)} is no host with a port`);
  if (port === undefined) throw fail((quote) => `${quote(host)} has no port; it is usually 2379`);
  if (Number(port) < 1 || Number(port) > 65_535)
    throw fail((quote) => `the port of ${quote(host)} is ${port}, it must be from 1 to 65535`);
  if (rest !== "" && rest !== "/") throw fail((quote) => `${quote(rest)} stands behind the port of ${quote(host)}`);
  return `${scheme}://${host}:${port}`;
}
