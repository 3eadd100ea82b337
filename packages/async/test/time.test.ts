import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { aborted, deadline, DeadlineExceeded, repeat, retry, sleep } from "../src/index.ts";

describe("sleep()", () => {
  test("rejects with the reason of its signal, not with a generic error", async () => {
    const controller = new AbortController();
    const sleeping = sleep(60_000, controller.signal);
    controller.abort(new Error("stop"));
    await assert.rejects(sleeping, { message: "stop" });
  });
});

test("sleep() and deadline() do not end at once for times beyond what timers know", async () => {
  const hours = 1000 * 3_600_000;
  using late = deadline(hours, "Nothing");
  const controller = new AbortController();
  const sleeping = sleep(hours, controller.signal);
  void sleep(50).then(() => controller.abort(new Error("it still sleeps")));
  await assert.rejects(sleeping, { message: "it still sleeps" });
  assert.equal(late.aborted, false);
});

describe("deadline()", () => {
  test("says what took too long", async () => {
    using signal = deadline(1, "Waiting for the moon");
    await aborted(signal);
    assert.match(String(signal.reason), /Waiting for the moon took longer than 0.001 s/);
  });

  for (const [ms, seconds] of [
    [4999.903_796_996_948, "5"],
    [1251.4, "1.3"],
    [204.2, "0.2"],
    [65_432.1, "65"],
    [0.000_01, "0.001"],
  ] as const)
    test(`rounds ${ms} ms to ${seconds} s where it says so`, () => {
      assert.equal(new DeadlineExceeded("It", ms).message, `It took longer than ${seconds} s`);
    });

  test("aborts with its parent, and with the parent's reason", () => {
    const parent = new AbortController();
    using signal = deadline(60_000, "Nothing", parent.signal);
    const reason = new Error("parent");
    parent.abort(reason);
    assert.equal(signal.reason, reason);
  });

  test("does not abort any more once disposed of", () => {
    const parent = new AbortController();
    const signal = deadline(60_000, "Nothing", parent.signal);
    signal[Symbol.dispose]();
    parent.abort();
    assert.equal(signal.aborted, false);
  });
});

describe("repeat()", () => {
  test("ends with the first error of the task", async () => {
    const task = () => Promise.reject(new Error("broken"));
    await assert.rejects(repeat(1, task, AbortSignal.timeout(5_000)), { message: "broken" });
  });

  test("resolves when its signal aborts", async () => {
    const controller = new AbortController();
    let runs = 0;
    const task = () => {
      if (++runs === 3) controller.abort();
    };
    await repeat(1, task, controller.signal);
    assert.equal(runs, 3);
  });
});

describe("retry()", () => {
  const policy = { delayMinMs: 1, delayMaxMs: 2 };

  test("returns the first success and reports the failures before it", async () => {
    const failures: number[] = [];
    let calls = 0;
    const task = () => (++calls < 3 ? Promise.reject(new Error("not yet")) : Promise.resolve("done"));
    const onRetry = (_: unknown, attempt: number) => failures.push(attempt);
    assert.equal(await retry(task, { ...policy, onRetry }, AbortSignal.timeout(5_000)), "done");
    assert.deepEqual(failures, [1, 2]);
  });

  test("gives up at once on an error that is not retryable", async () => {
    let calls = 0;
    const task = () => Promise.reject(new Error(`call ${++calls}`));
    await assert.rejects(retry(task, { ...policy, isRetryable: () => false }, AbortSignal.timeout(5_000)), {
      message: "call 1",
    });
  });

  test("rejects with the last failure when told to stop", async () => {
    const controller = new AbortController();
    const task = () => Promise.reject(new Error("still down"));
    const onRetry = () => controller.abort();
    await assert.rejects(retry(task, { ...policy, onRetry }, controller.signal), { message: "still down" });
  });
});
