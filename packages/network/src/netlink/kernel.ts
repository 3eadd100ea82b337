import { getSystemErrorName } from "node:util";
import { netlinkRoute } from "@k3s/native";
import type { Family } from "../address.ts";
import { decodeAddress, listAddresses, type InterfaceAddress } from "./addresses.ts";
import { decodeLink, listLinks, type Link } from "./links.ts";
import { decodeMessages, encodeMessage, Flag, MessageType, type Message } from "./message.ts";
import { decodeNeighbour, listNeighbours, type Neighbour } from "./neighbours.ts";
import { decodeRoute, listRoutes, type Route } from "./routes.ts";

/** The kernel refused a request; `code` is the system's name of the reason, for instance `EEXIST`. */
export class KernelError extends Error {
  override readonly name = "KernelError";
  readonly code: string;

  constructor(code: string) {
    super(`the kernel says ${code}`);
    this.code = code;
  }
}

/** A list that changes while it is read says so; it is then read again, up to so often. */
const READS_MAX = 5;

/** The network configuration of the namespace that this process is in. Every call is answered by the kernel at once. */
export const kernel = {
  links: (): readonly Link[] => read(listLinks(), decodeLink),
  addresses: (family: Family): readonly InterfaceAddress[] => read(listAddresses(family), decodeAddress),
  routes: (family: Family): readonly Route[] => read(listRoutes(family), decodeRoute),
  neighbours: (family: Family): readonly Neighbour[] => read(listNeighbours(family), decodeNeighbour),
  forwarding: (): readonly Neighbour[] => read(listNeighbours("bridge"), decodeNeighbour),
  /** Changes something. Throws KernelError when the kernel refuses. */
  change: (message: Message): void => {
    ask({ ...message, flags: message.flags | Flag.request | Flag.acknowledge });
  },
};

export type Kernel = typeof kernel;

function read<T>(message: Message, decode: (message: Message) => T | undefined): readonly T[] {
  for (let attempt = 1; ; attempt++) {
    const answer = ask({ ...message, flags: message.flags | Flag.request });
    const isTorn = answer.some(({ flags }) => (flags & Flag.dumpInterrupted) !== 0);
    if (!isTorn || attempt === READS_MAX) return answer.map(decode).filter((entry) => entry !== undefined);
  }
}

function ask(message: Message): readonly Message[] {
  const answer = decodeMessages(netlinkRoute(encodeMessage(message)));
  const end = answer.find(({ type }) => type === MessageType.error || type === MessageType.done);
  const number = end !== undefined && end.body.length >= 4 ? end.body.readInt32LE() : 0;
  if (number < 0) throw new KernelError(getSystemErrorName(number));
  return answer;
}
