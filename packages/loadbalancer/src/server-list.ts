import { createHash } from "node:crypto";
import { isProven, nextState, rankOf, type ServerEvent, type ServerState } from "./server-state.ts";

/** A server as others may see it. */
export interface Server {
  /** `host:port`, an IPv6 address in brackets. */
  readonly address: string;
  readonly state: ServerState;
  readonly connections: number;
  /** What the last dial met; undefined when that succeeded, or there was none. */
  readonly dialError: Error | undefined;
}

/** Why a server changed its state. */
export type Cause = ServerEvent | "list" | "default" | "other-active" | "home";

interface Change {
  readonly address: string;
  readonly from: ServerState;
  readonly to: ServerState;
  readonly cause: Cause;
}

/** What the owner of a list has to do after an event. */
export interface Effects {
  readonly changes: readonly Change[];
  /** Addresses of servers whose connections are to be closed, so that clients come again. */
  readonly cut: ReadonlySet<string>;
}

export interface ServerListOptions {
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number;
  /** 0 to 1: places a new server among equals, so that the agents of a cluster do not all choose the same one. */
  readonly random: () => number;
  /**
   * Of this machine, and of no other of the cluster: says which server of a list is its home, to which it goes back when that has been
   * healthy for a while, so that the machines of a cluster spread over its servers. Undefined: it stays where it is.
   */
  readonly homeKey?: string;
}

interface Entry {
  readonly address: string;
  readonly place: number;
  state: ServerState;
  sinceMs: number;
  connections: number;
  dialError: Error | undefined;
  /** The last definite word of its health check was "failed": a connection it accepts may be the kernel's doing alone. */
  isDistrusted: boolean;
}

/** Healthy after a minute without a failure, a server waits for this long at most, each machine for another time, until those of its home come. */
const HOMECOMING_MS = 30_000;
const STATES_LEFT_FOR_ACTIVE: readonly ServerState[] = ["failed", "standby", "recovering", "healthy"];

/** The servers and their states. Does nothing by itself: told of events, it answers with what follows from them. */
export class ServerList {
  readonly #options: ServerListOptions;
  readonly #entries = new Map<string, Entry>();
  #default: string | undefined;

  constructor(options: ServerListOptions) {
    this.#options = options;
  }

  get defaultAddress(): string | undefined {
    return this.#default;
  }

  /** Undefined: no server is taken when none of the list is left. An old default that is in no list is dropped. */
  setDefault(address: string | undefined): Effects {
    const step = new Step(this.#options.now());
    if (address === this.#default) return step;
    const old = this.#default === undefined ? undefined : this.#entries.get(this.#default);
    this.#default = address;
    if (old?.state === "standby") this.#remove(old, step, "default");
    if (address !== undefined && !this.#entries.has(address)) this.#add(address, "standby");
    return step;
  }

  /** Replaces the list as a set: what stays keeps its state. */
  setAddresses(addresses: readonly string[]): Effects {
    const step = new Step(this.#options.now());
    const wanted = new Set(addresses);
    for (const entry of [...this.#entries.values()]) {
      if (wanted.has(entry.address)) {
        if (entry.state === "standby") step.move(entry, "unchecked", "list");
      } else if (entry.address !== this.#default) this.#remove(entry, step, "list");
      else if (entry.state !== "standby") {
        step.move(entry, "standby", "list");
        step.cut.add(entry.address);
      }
    }
    for (const address of wanted) if (!this.#entries.has(address)) this.#add(address, "unchecked");
    return step;
  }

  /** Tells what was learnt of a server; one that is no longer here changes nothing. */
  record(address: string, event: ServerEvent): Effects {
    const step = new Step(this.#options.now());
    const entry = this.#entries.get(address);
    if (entry === undefined) return step;
    if (event === "health-ok" || event === "health-failed") entry.isDistrusted = event === "health-failed";
    const { state: from, connections, sinceMs } = entry;
    const to = nextState({ state: from, connections, heldMs: step.nowMs - sinceMs }, event);
    if (to === "failed" && isProven(from)) step.cut.add(address);
    if (to === "active" && from !== "active") this.#activate(entry, step, event);
    else step.move(entry, to, event);
    if (event === "health-ok" && this.#isHomecoming(entry, step.nowMs)) this.#comeHome(entry, step);
    this.#leaveDistrusted(step);
    return step;
  }

  /** Nobody watches the server any more: it is judged by its state alone. */
  trust(address: string): void {
    const entry = this.#entries.get(address);
    if (entry !== undefined) entry.isDistrusted = false;
  }

  /** Undefined: it was reached. Changes no state. */
  setDialError(address: string, error: Error | undefined): void {
    const entry = this.#entries.get(address);
    if (entry !== undefined) entry.dialError = error;
  }

  opened(address: string): void {
    const entry = this.#entries.get(address);
    if (entry !== undefined) entry.connections++;
  }

  closed(address: string): void {
    const entry = this.#entries.get(address);
    if (entry !== undefined && entry.connections > 0) entry.connections--;
  }

  has(address: string): boolean {
    return this.#entries.has(address);
  }

  /** Whether a connection attempt may take its time: the last attempts did not fail, nobody reports a failure. */
  isPromising(address: string): boolean {
    const entry = this.#entries.get(address);
    return entry !== undefined && entry.state !== "failed" && !entry.isDistrusted;
  }

  /** In the order in which they are to be tried. */
  ordered(): readonly Server[] {
    return [...this.#entries.values()].sort(
      (a, b) => standing(b) - standing(a) || b.connections - a.connections || a.place - b.place,
    );
  }

  #add(address: string, state: ServerState): void {
    const { now, random } = this.#options;
    const fresh = { connections: 0, dialError: undefined, isDistrusted: false };
    this.#entries.set(address, { address, state, place: random(), sinceMs: now(), ...fresh });
  }

  #remove(entry: Entry, step: Step, cause: Cause): void {
    this.#entries.delete(entry.address);
    step.move(entry, "invalid", cause);
    step.cut.add(entry.address);
  }

  /** One server at a time is active: that with more connections, else the newer one. */
  #activate(entry: Entry, step: Step, cause: Cause): void {
    let to: ServerState = "active";
    for (const other of this.#entries.values()) {
      if (other === entry) continue;
      if (STATES_LEFT_FOR_ACTIVE.includes(other.state)) step.cut.add(other.address);
      if (other.state !== "active") continue;
      if (other.connections > entry.connections) {
        to = "preferred";
        step.cut.add(entry.address);
      } else {
        step.move(other, "preferred", "other-active");
        step.cut.add(other.address);
      }
    }
    step.move(entry, to, to === "active" ? cause : "other-active");
  }

  #isHomecoming({ address, state, sinceMs, place }: Entry, nowMs: number): boolean {
    return state === "healthy" && nowMs - sinceMs >= place * HOMECOMING_MS && address === this.#home();
  }

  /** Beyond upstream, where a server that comes back stays without clients until another one fails. */
  #comeHome(entry: Entry, step: Step): void {
    for (const other of this.#entries.values()) {
      if (other === entry) continue;
      if (other.state === "active") step.move(other, "preferred", "other-active");
      if (other.connections > 0) step.cut.add(other.address);
    }
    step.move(entry, "active", "home");
  }

  /** By rendezvous hashing: a server more or less moves only those machines that have to move. */
  #home(): string | undefined {
    const { homeKey } = this.#options;
    if (homeKey === undefined) return undefined;
    const weight = (address: string) => createHash("sha256").update(`${homeKey}\0${address}`).digest("hex");
    const listed = [...this.#entries.values()].filter(({ state }) => state !== "standby");
    const weights = listed.map(({ address }) => ({ address, weight: weight(address) }));
    return weights.sort((a, b) => (a.weight < b.weight ? 1 : -1))[0]?.address;
  }

  /** Beyond upstream: who was let in by a server that nobody trusts goes as soon as there is a better one. */
  #leaveDistrusted(step: Step): void {
    const entries = [...this.#entries.values()];
    if (!entries.some((entry) => !entry.isDistrusted && rankOf(entry.state) >= rankOf("recovering"))) return;
    for (const entry of entries) if (entry.isDistrusted && entry.connections > 0) step.cut.add(entry.address);
  }
}

/** A distrusted server comes after the default one, before those that failed. */
function standing({ state, isDistrusted }: Entry): number {
  const rank = rankOf(state);
  return isDistrusted && rank > rankOf("standby") ? rankOf("failed") + 0.5 : rank;
}

class Step implements Effects {
  readonly nowMs: number;
  readonly changes: Change[] = [];
  readonly cut = new Set<string>();

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  move(entry: Entry, to: ServerState, cause: Cause): void {
    if (entry.state === to) return;
    this.changes.push({ address: entry.address, from: entry.state, to, cause });
    entry.state = to;
    entry.sinceMs = this.nowMs;
  }
}
