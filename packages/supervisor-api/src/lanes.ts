import type { Lane } from "./route.ts";

/** Requests carried out at a time (k3s: 20 that read, 10 that write). */
const PLACES: Readonly<Record<Lane, Readonly<Record<Kind, number>>>> = { agents: { reading: 20, writing: 10 } };
/** Upstream refuses what finds no place; here it waits, so that a whole rack that joins at once sees no error. */
const WAITING_MAX = 256;
const READING = new Set(["GET", "HEAD", "OPTIONS"]);

type Kind = "reading" | "writing";

interface State {
  taken: number;
  readonly waiting: (() => void)[];
}

/** Keeps one kind of client from taking all of a server's time. */
export class Lanes {
  readonly #states = new Map<string, State>();

  /** Takes a place, at once or in its turn, to be given back by calling the result; undefined when too many wait already. */
  async enter(lane: Lane, method: string): Promise<(() => void) | undefined> {
    const kind = READING.has(method) ? "reading" : "writing";
    const state = this.#stateOf(`${lane}/${kind}`);
    if (state.taken < PLACES[lane][kind]) {
      state.taken += 1;
    } else {
      if (state.waiting.length >= WAITING_MAX) return undefined;
      await new Promise<void>((resolve) => state.waiting.push(resolve)); // whoever leaves hands its place on
    }
    return () => {
      const next = state.waiting.shift();
      if (next === undefined) state.taken -= 1;
      else next();
    };
  }

  #stateOf(key: string): State {
    const state = this.#states.get(key) ?? { taken: 0, waiting: [] };
    this.#states.set(key, state);
    return state;
  }
}
