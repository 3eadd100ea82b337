import { readdir, readFile, readlink } from "node:fs/promises";
import type { PortOwner } from "../errors.ts";

/** A TCP socket that waits for connections. */
export interface Listener {
  /** As in /proc/net/tcp: hexadecimal, in the byte order of the machine. All zero: every address. */
  readonly rawAddress: string;
  readonly port: number;
  readonly inode: string;
}

const LISTEN_STATE = "0A";

/** Every listening TCP socket of this network namespace, of both families. */
export async function readListeners(): Promise<readonly Listener[]> {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8").catch(() => ""));
  return (await Promise.all(tables)).flatMap(parseListeners);
}

/** The listening sockets of a table like /proc/net/tcp (proc(5)). */
export function parseListeners(table: string): readonly Listener[] {
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    const [rawAddress, rawPort] = local.split(":");
    if (state !== LISTEN_STATE || rawAddress === undefined || rawPort === undefined) return [];
    return [{ rawAddress, port: Number.parseInt(rawPort, 16), inode }];
  });
}

/** The process that has the socket open; undefined when it lives where we cannot look. */
export async function findOwner(inode: string): Promise<PortOwner | undefined> {
  const target = `socket:[${inode}]`;
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || !(await hasOpen(entry, target))) continue;
    const name = await readFile(`/proc/${entry}/comm`, "utf8").catch(() => "");
    return { pid: Number(entry), name: name.trim() === "" ? "unknown" : name.trim() };
  }
  return undefined;
}

/** Processes end while we look, and those of others may not be looked at: both have nothing open for us. */
async function hasOpen(pid: string, target: string): Promise<boolean> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  return targets.includes(target);
}
