import { loadAddon } from "./load-addon.ts";
import { locate } from "./location.ts";

interface Addon {
  flock(fd: number): boolean;
  isCached(fd: number, limitBytes: number): boolean;
  isLockedElsewhere(fd: number): boolean;
  netlinkRoute(request: Uint8Array): Buffer;
  notify(socketPath: string, message: string): void;
  releaseCode(): void;
  releaseFree(): void;
  waitpid(pid: number): number | undefined;
}

/** Takes an exclusive lock on an open file without waiting; false when somebody else holds it. */
export function flock(fd: number): boolean {
  return own().flock(fd);
}

/**
 * Whether all of an open file is in the kernel's memory, so that reading it asks no disk (mincore(2)). A file of more than
 * `limitBytes` is not looked at: false. Takes about 10 µs per MiB.
 */
export function isCached(fd: number, limitBytes: number): boolean {
  return own().isCached(fd, limitBytes);
}

/**
 * Whether another process has a record lock (fcntl(2)) on any part of an open file: also one in a PID namespace that this process cannot
 * see into, whose locks /proc/locks leaves out.
 */
export function isLockedElsewhere(fd: number): boolean {
  return own().isLockedElsewhere(fd);
}

/**
 * Sends one rtnetlink message to the kernel and returns every message of its answer, up to DONE or the acknowledgement,
 * which the request has to ask for (rtnetlink(7)). Throws with the system's code: ETIMEDOUT without an answer in 2 s,
 * EMSGSIZE when it is larger than 64 MiB. What the kernel says about the request itself is in the answer.
 */
export function netlinkRoute(request: Uint8Array): Buffer {
  return own().netlinkRoute(request);
}

/**
 * Sends one datagram to a service manager's socket, a path or `@name` for an abstract one; at most 4095 bytes.
 * Never waits: throws with code EAGAIN when the receiver is behind.
 */
export function notify(socketPath: string, message: string): void {
  own().notify(socketPath, message);
}

/**
 * Unmaps the pages of Node's executable from this process; the kernel maps those that are used again, from its cache or the
 * file. After a start, most of them are not.
 */
export function releaseCode(): void {
  own().releaseCode();
}

/**
 * Gives the kernel back what the C library keeps of memory that was freed: of buffers and databases, not of JavaScript's objects. Takes
 * about two milliseconds for each 10 MiB.
 */
export function releaseFree(): void {
  own().releaseFree();
}

/**
 * Reaps a child that has ended and returns its raw wait status; undefined while it still runs.
 * Only for orphans adopted by this process: reaping a child of Node's own would make Node wait for it for ever.
 */
export function waitpid(pid: number): number | undefined {
  return own().waitpid(pid);
}

function own(): Addon {
  return loadAddon(locate("k3s-native.node")) as Addon; // sound: the file is built from our own source beside this one
}
