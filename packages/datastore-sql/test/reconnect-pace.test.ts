import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReconnectPace } from "../src/reconnect-pace.ts";

/** When a database that is away for so long, and refuses each attempt after `tookMs`, is tried. The last attempt is the first that works. */
function attempts(awayMs: number, tookMs: number): number[] {
  const pace = new ReconnectPace();
  const at: number[] = [];
  for (let now = 0; ; now += tookMs) {
    now += Math.max(0, pace.restMs(now));
    at.push(now);
    if (now >= awayMs) return at;
    pace.failed(now + tookMs);
  }
}

describe("ReconnectPace", () => {
  for (const awayMs of [1, 100, 1000, 60_000, 3_600_000])
    test(`a database that was away for ${awayMs} ms is tried within 500 ms of its return`, () => {
      assert.ok((attempts(awayMs, 0).at(-1) ?? Infinity) - awayMs <= 500);
    });

  test("an attempt that takes long is followed by the next one 500 ms after its end at the latest", () => {
    const at = attempts(100_000, 5000);
    for (const [i, time] of at.slice(1).entries()) assert.ok(time - (at[i] ?? 0) <= 5500);
  });

  test("the first repetition comes at once, and those of a long outage twice a second", () => {
    const at = attempts(100_000, 0);
    assert.deepEqual(at.slice(0, 4), [0, 40, 120, 280]);
    assert.ok(at.length > 200 && at.length < 210, `${at.length} attempts`);
  });

  test("worked() begins anew", () => {
    const pace = new ReconnectPace();
    for (let i = 0; i < 20; i++) pace.failed(1000);
    assert.equal(pace.restMs(1000), 500);
    pace.worked();
    assert.equal(pace.restMs(1000), 0);
    pace.failed(2000);
    assert.equal(pace.restMs(2000), 40);
  });
});
