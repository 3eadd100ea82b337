import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { soonAfter } from "../src/index.ts";

const never = new Promise<never>(() => undefined);
const late = () => new Error("too late");

describe("soonAfter()", () => {
  test("gives what the task gives, also when the signal has aborted already", async () => {
    const signal = AbortSignal.abort();
    assert.equal(await soonAfter(Promise.resolve(1), { signal, ms: 60_000, late }), 1);
    await assert.rejects(soonAfter(Promise.reject(new Error("no")), { signal, ms: 60_000, late }), { message: "no" });
  });

  test("rejects once the time after the signal is over, not before", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const controller = new AbortController();
    let outcome = "waiting";
    const waiting = soonAfter(never, { signal: controller.signal, ms: 5000, late }).catch((error: unknown) => {
      outcome = String(error);
    });
    t.mock.timers.tick(60_000);
    controller.abort();
    await new Promise(setImmediate);
    t.mock.timers.tick(4999);
    await new Promise(setImmediate);
    assert.equal(outcome, "waiting");
    t.mock.timers.tick(1);
    await waiting;
    assert.equal(outcome, "Error: too late");
  });
});
