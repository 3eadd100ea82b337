/**
 * Where a server stands, worst first; the place in this list is its rank and the value of the health metric.
 *
 *                 dial ok, health ok            health ok                dial ok
 *   unchecked ─┬───────────────────► recovering ─────────► preferred ─────────────► active
 *   failed ────┘                         │                  │  ▲                      │
 *      ▲                                 │    after a minute│  │ another one is       │
 *      │   dial failed                   │                  ▼  │ active               │
 *      ├─────────────────────────────────┘               healthy ──► active           │
 *      └──── dial failed, health failed: every connection is closed ◄─────────────────┘
 *
 *   standby: the default server while it is in no list; no event moves it.   invalid: removed.
 */
export const SERVER_STATES = [
  "invalid",
  "failed",
  "standby",
  "unchecked",
  "recovering",
  "healthy",
  "preferred",
  "active",
] as const;

export type ServerState = (typeof SERVER_STATES)[number];

/** What can be learnt of a server: by a connection attempt, or from whoever watches it from outside. */
export type ServerEvent = "dial-ok" | "dial-failed" | "health-ok" | "health-failed";

/** What a transition depends on beside state and event. */
export interface Standing {
  readonly state: ServerState;
  readonly connections: number;
  /** Time since the state was entered. */
  readonly heldMs: number;
}

/** A preferred server that nobody has dialled for so long is an ordinary one again. */
const PREFERRED_MS = 60_000;

/** 0 to 7, higher is better. */
export function rankOf(state: ServerState): number {
  return SERVER_STATES.indexOf(state);
}

/** The state that follows; the same one when the event changes nothing. */
export function nextState(standing: Standing, event: ServerEvent): ServerState {
  switch (event) {
    case "dial-ok":
      return afterDial(standing.state);
    case "health-ok":
      return afterHealthCheck(standing);
    case "dial-failed":
      return standing.state === "standby" || standing.state === "invalid" ? standing.state : "failed";
    case "health-failed":
      return isProven(standing.state) ? "failed" : standing.state;
  }
}

/** Whether a failure in this state closes the connections of the server. */
export function isProven(state: ServerState): boolean {
  return state === "healthy" || state === "preferred" || state === "active";
}

function afterDial(state: ServerState): ServerState {
  switch (state) {
    case "failed":
    case "unchecked":
      return "recovering";
    case "healthy":
    case "preferred":
      return "active";
    default:
      return state;
  }
}

function afterHealthCheck({ state, connections, heldMs }: Standing): ServerState {
  switch (state) {
    case "failed":
    case "unchecked":
      return "recovering";
    case "recovering":
      return connections > 0 ? "active" : "preferred";
    case "preferred":
      return heldMs > PREFERRED_MS ? "healthy" : state;
    default:
      return state;
  }
}
