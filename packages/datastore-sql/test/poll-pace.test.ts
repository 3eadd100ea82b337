import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PollPace } from "../src/poll-pace.ts";

/** Waits until nothing has been written for so long. */
function beQuiet(pace: PollPace, ms: number): void {
  for (let waitedMs = 0; waitedMs < ms; waitedMs += pace.delayMs) pace.note(false);
}

describe("PollPace", () => {
  test("asks a database that cannot push every 50 ms, from the beginning and however long nothing is written", () => {
    const pace = new PollPace({ isPushed: () => false });
    assert.equal(pace.delayMs, 50);
    beQuiet(pace, 60_000);
    assert.equal(pace.delayMs, 50);
  });

  test("asks a database that pushes every 100 ms", () => {
    const pace = new PollPace({ isPushed: () => true });
    beQuiet(pace, 60_000);
    assert.equal(pace.delayMs, 100);
  });

  test("asks every 50 ms again as soon as the database does not push any more", () => {
    let isPushed = true;
    const pace = new PollPace({ isPushed: () => isPushed });
    beQuiet(pace, 60_000);
    isPushed = false;
    assert.equal(pace.delayMs, 50);
  });

  test("asks every 5 ms after a write, and calms down within a second", () => {
    const pace = new PollPace({ isPushed: () => false });
    pace.note(true);
    assert.equal(pace.delayMs, 5);
    beQuiet(pace, 100);
    assert.ok(pace.delayMs > 5 && pace.delayMs < 12, String(pace.delayMs)); // short beside the rhythm of the writes
    beQuiet(pace, 1000);
    assert.equal(pace.delayMs, 50);
    pace.note(true);
    assert.equal(pace.delayMs, 5);
  });
});
