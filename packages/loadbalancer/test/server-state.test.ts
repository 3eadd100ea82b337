import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isProven, nextState, rankOf, SERVER_STATES, type ServerEvent, type ServerState } from "../src/server-state.ts";

/** Every state and event; what is not named stays. */
const TRANSITIONS: Readonly<Record<ServerEvent, Partial<Record<ServerState, ServerState>>>> = {
  "dial-ok": { failed: "recovering", unchecked: "recovering", healthy: "active", preferred: "active" },
  "health-ok": { failed: "recovering", unchecked: "recovering", recovering: "preferred" },
  "dial-failed": {
    unchecked: "failed",
    recovering: "failed",
    healthy: "failed",
    preferred: "failed",
    active: "failed",
  },
  "health-failed": { healthy: "failed", preferred: "failed", active: "failed" },
};
const EVENTS = ["dial-ok", "health-ok", "dial-failed", "health-failed"] as const;

describe("nextState()", () => {
  for (const event of EVENTS)
    for (const state of SERVER_STATES) {
      const expected = TRANSITIONS[event][state] ?? state;
      test(`makes ${state} ${expected} after ${event}`, () =>
        assert.equal(nextState({ state, connections: 0, heldMs: 0 }, event), expected));
    }

  test("makes a recovering server with connections active after health-ok", () =>
    assert.equal(nextState({ state: "recovering", connections: 1, heldMs: 0 }, "health-ok"), "active"));

  test("makes a preferred server healthy after more than a minute", () => {
    assert.equal(nextState({ state: "preferred", connections: 0, heldMs: 60_000 }, "health-ok"), "preferred");
    assert.equal(nextState({ state: "preferred", connections: 0, heldMs: 60_001 }, "health-ok"), "healthy");
  });
});

test("rankOf() counts from invalid to active", () =>
  assert.deepEqual(SERVER_STATES.map(rankOf), [0, 1, 2, 3, 4, 5, 6, 7]));

test("isProven() is true of the states in which a failure closes connections", () =>
  assert.deepEqual(SERVER_STATES.filter(isProven), ["healthy", "preferred", "active"]));
