import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Latest } from "../src/index.ts";

describe("Latest", () => {
  test("until() resolves with the current value when that is accepted", async () => {
    const latest = new Latest(3);
    assert.equal(await latest.until((n) => n === 3, AbortSignal.timeout(1_000)), 3);
  });

  test("until() passes over values it does not accept", async () => {
    const latest = new Latest(0);
    const seen = latest.until((n) => n >= 2, AbortSignal.timeout(5_000));
    latest.set(1);
    await Promise.resolve();
    latest.set(2);
    assert.equal(await seen, 2);
  });

  test("until() rejects with the reason of its signal", async () => {
    const controller = new AbortController();
    const waiting = new Latest(0).until((n) => n === 1, controller.signal);
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, { message: "enough" });
  });
});
