import { resolve } from "node:path";

/** Where a server listens. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** `isSecure`: the address asks for TLS. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly isSecure: boolean };

/** Reads `HOST:PORT`, `:PORT`, `tcp://`, `http://`, `https://` or `unix://PATH`, as kine. Throws RangeError with the end of a sentence. */
export function parseListenAddress(text: string): ListenAddress {
  const [, scheme = "tcp", rest = ""] = /^(?:([a-z]+):\/\/)?(.*)$/s.exec(text) ?? [];
  if (scheme === "unix") {
    if (rest === "") throw new RangeError("must name a path behind unix://");
    return { kind: "unix", path: resolve(rest) };
  }
  if (!["tcp", "http", "https"].includes(scheme)) throw new RangeError(`must not have the scheme "${scheme}"`);
  return { kind: "tcp", ...readHostAndPort(rest), isSecure: scheme === "https" };
}

/** No host: every address, as in Go; `listenHost` says what that is on this machine. */
function readHostAndPort(text: string): { readonly host: string; readonly port: number } {
  const [, host = "", port] = /^(\[[0-9a-f:.]+\]|[\w.-]*):(\d+)$/i.exec(text) ?? [];
  if (port === undefined) throw new RangeError(`must be a host and a port: current value is "${text}"`);
  if (Number(port) > 65_535) throw new RangeError(`must have a port of at most 65535: current value is "${text}"`);
  const bare = host.replace(/^\[|\]$/g, "");
  return { host: bare === "" ? "0.0.0.0" : bare, port: Number(port) };
}
