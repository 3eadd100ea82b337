import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { defaultRestartPolicy, runForever, type RunResult } from "../src/restart-policy.ts";

const CRASH: RunResult = { end: { code: 1, signal: null }, readyMs: 0 };
const POLICY = { ...defaultRestartPolicy, jitter: (delayMs: number) => delayMs };

/** Runs through `results`, one per run, then stops. Returns the waits between them. */
async function waitsBetween(results: readonly RunResult[], policy = POLICY): Promise<readonly number[]> {
  const stop = new AbortController();
  const waits: number[] = [];
  const wait = (ms: number): Promise<void> => {
    waits.push(ms);
    return Promise.resolve();
  };
  let index = 0;
  const run = (): Promise<RunResult> => {
    const result = results[index++];
    if (result === undefined) stop.abort();
    return Promise.resolve(result ?? CRASH);
  };
  await runForever(run, { policy, onEnd: () => undefined, wait }, stop.signal);
  return waits;
}

describe("runForever()", () => {
  test("waits 250 ms at first, then twice as long each time, up to 30 s", async () => {
    const waits = await waitsBetween(Array.from({ length: 10 }, () => CRASH));
    assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  test("begins anew after a run that was ready for a minute", async () => {
    const healthy: RunResult = { ...CRASH, readyMs: 60_000 };
    assert.deepEqual(await waitsBetween([CRASH, CRASH, healthy, CRASH]), [250, 500, 250, 500]);
  });

  test("goes on doubling after a run that was ready for less", async () => {
    const short: RunResult = { ...CRASH, readyMs: 59_999 };
    assert.deepEqual(await waitsBetween([CRASH, CRASH, short]), [250, 500, 1000]);
  });

  test("treats a program that cannot be spawned like one that ends", async () => {
    const absent: RunResult = { end: new Error("no such file"), readyMs: 0 };
    assert.deepEqual(await waitsBetween([absent, absent]), [250, 500]);
  });

  test("applies the jitter to the wait, not to the doubling", async () => {
    const waits = await waitsBetween([CRASH, CRASH, CRASH], { ...POLICY, jitter: (delayMs) => delayMs / 2 });
    assert.deepEqual(waits, [125, 250, 500]);
  });

  test("tells how the run ended and how long it will wait", async () => {
    const stop = new AbortController();
    const ends: unknown[] = [];
    const onEnd = (result: RunResult, delayMs: number) => {
      ends.push([result.end, delayMs]);
      stop.abort();
    };
    await runForever(() => Promise.resolve(CRASH), { policy: POLICY, onEnd }, stop.signal);
    assert.deepEqual(ends, [[CRASH.end, 250]]);
  });

  test("ends while it waits when the signal aborts", async () => {
    const stop = new AbortController();
    const policy = { ...POLICY, delayMinMs: 1_000_000, delayMaxMs: 1_000_000 };
    const onEnd = () => void setImmediate(() => stop.abort());
    await runForever(() => Promise.resolve(CRASH), { policy, onEnd }, stop.signal);
  });

  test("does not run again when the signal aborts during a run", async () => {
    const stop = new AbortController();
    let runs = 0;
    const run = (): Promise<RunResult> => {
      runs++;
      stop.abort();
      return Promise.resolve(CRASH);
    };
    await runForever(run, { policy: POLICY, onEnd: () => assert.fail("it waits") }, stop.signal);
    assert.equal(runs, 1);
  });
});

describe("defaultRestartPolicy", () => {
  test("spreads waits between half and the whole, so that the first is never above 250 ms", () => {
    const waits = Array.from({ length: 1000 }, () => defaultRestartPolicy.jitter(defaultRestartPolicy.delayMinMs));
    assert.ok(waits.every((ms) => ms >= 125 && ms <= 250));
    assert.ok(new Set(waits).size > 100);
  });
});
