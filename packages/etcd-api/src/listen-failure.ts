import { access, constants, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { EtcdApiError } from "./errors.ts";

/** Where a server wanted to listen: a socket's path, or a TCP address. */
export type ListenPlace = { readonly path: string } | { readonly host: string; readonly port: number };

/** Linux' default. */
const UNPRIVILEGED_PORTS = 1024;
const UNPRIVILEGED_PORTS_FILE = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/** What `error` means for an operator. Never rejects. */
export async function toListenFailure(place: ListenPlace, error: unknown): Promise<EtcdApiError> {
  return "path" in place ? await ofSocket(place.path, error) : await ofTcp(place, error);
}

/** Of a folder that is missing libuv says EACCES, so the folder is looked at, with the slash that makes a file fail. */
async function ofSocket(path: string, error: unknown): Promise<EtcdApiError> {
  const folder = dirname(path);
  try {
    await access(`${folder}/`, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const isMissing = codeOf(cause) === "ENOENT";
    const cure = isMissing ? `Make the folder "${folder}" first` : `Give this user a folder to write to`;
    return EtcdApiError.cannotListen(path, cause, `${cure}, or choose another path for the socket`);
  }
  return EtcdApiError.cannotListen(path, error, "");
}

async function ofTcp({ host, port }: { readonly host: string; readonly port: number }, error: unknown) {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return EtcdApiError.cannotListen(address, error, await cureOfTcp(port, codeOf(error)));
}

async function cureOfTcp(port: number, code: unknown): Promise<string> {
  if (code === "EADDRINUSE")
    return `Stop the program that uses port ${port} (ss -ltnp names it), or choose another port`;
  if (code === "EADDRNOTAVAIL")
    return "Choose an address of this machine (ip address shows them), or 0.0.0.0 for all of them";
  if (code !== "EACCES") return "";
  const first = await firstUnprivilegedPort();
  if (port >= first) return "";
  return `Ports below ${first} need privileges: choose a higher one, run as root, or grant CAP_NET_BIND_SERVICE`;
}

async function firstUnprivilegedPort(): Promise<number> {
  const text = await readFile(UNPRIVILEGED_PORTS_FILE, "utf8").catch(() => "");
  const port = Number.parseInt(text, 10);
  return Number.isNaN(port) ? UNPRIVILEGED_PORTS : port;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
