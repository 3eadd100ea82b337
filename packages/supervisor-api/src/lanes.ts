import { AddressTurns, type TurnLimits } from "./address-turns.ts";
import type { Lane } from "./route.ts";

type Kind = "reading" | "writing";

/** Upstream refuses what finds no place; here it waits, so that a whole rack that joins at once sees no error. */
const WAITING_MAX = 256;
/**
 * Requests carried out at a time (k3s: 20 that read, 10 that write), and of one address: slow ones, such as those with wrong
 * passwords, which are compared one at a time, leave places to others and have few before them.
 */
const PLACES: Readonly<Record<Lane, Readonly<Record<Kind, Pick<TurnLimits, "placesMax" | "placesEachMax">>>>> = {
  agents: {
    reading: { placesMax: 20, placesEachMax: 8 },
    writing: { placesMax: 10, placesEachMax: 4 },
  },
};
const READING = new Set(["GET", "HEAD", "OPTIONS"]);

/** Who asks, and what. */
export interface LaneRequest {
  readonly lane: Lane;
  readonly method: string;
  readonly remoteAddress: string;
}

/** Keeps one kind of client from taking all of a server's time, and one address from taking all of its kind's. */
export class Lanes {
  readonly #turns: Readonly<Record<Lane, Readonly<Record<Kind, AddressTurns>>>>;

  constructor(waitMs: number) {
    const waiting = { waitingMax: WAITING_MAX, waitMs };
    const { reading, writing } = PLACES.agents;
    this.#turns = {
      agents: {
        reading: new AddressTurns({ ...reading, ...waiting }),
        writing: new AddressTurns({ ...writing, ...waiting }),
      },
    };
  }

  /**
   * Takes a place, at once or in its turn, to be given back by calling the result; undefined when too many wait already, or
   * nobody leaves for `waitMs`.
   */
  enter({ lane, method, remoteAddress }: LaneRequest): Promise<(() => void) | undefined> {
    const kind = READING.has(method) ? "reading" : "writing";
    return this.#turns[lane][kind].enter(remoteAddress);
  }
}
