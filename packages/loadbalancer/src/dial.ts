import { connect, type Socket } from "node:net";
import { KEEP_ALIVE_MS } from "./listen.ts";
import { parseAddress } from "./server-address.ts";

/** Begins a connection to `host:port`; `connected` is called once, when its bytes reach that server. Whatever fails is an "error" of the socket, which is half-open. */
export type Dial = (address: string, connected: () => void) => Socket;

/** One address of a name gets this long before the next one is tried as well. */
const FAMILY_ATTEMPT_MS = 500;

/** The server itself. Throws TypeError when the text is no address. */
export function dial(address: string, connected: () => void): Socket {
  const target = parseAddress(address);
  if (target === undefined) throw new TypeError(`Cannot dial "${address}": it is no address`);
  const options = {
    ...target,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    autoSelectFamilyAttemptTimeout: FAMILY_ATTEMPT_MS,
  };
  return connect(options, connected);
}
