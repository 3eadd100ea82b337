import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Component, inBackground } from "../src/index.ts";

const never = new AbortController().signal;

function slow(events: string[]): Component {
  return {
    name: "slow",
    start: ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          events.push("cancelled");
          reject(signal.reason as Error);
        });
      }),
    stop: () => {
      events.push("stopped");
      return Promise.resolve();
    },
  };
}

describe("inBackground()", () => {
  test("does not wait for the start, and cancels it before it stops the component", async () => {
    const events: string[] = [];
    const losses: Error[] = [];
    const component = inBackground(slow(events));
    await component.start({ signal: never, lost: (error) => losses.push(error) });
    await component.stop(never);
    assert.deepEqual([events, losses], [["cancelled", "stopped"], []]);
  });

  test("reports a start that failed as lost", async () => {
    const { promise, resolve } = Promise.withResolvers<Error>();
    const start = () => Promise.reject(new Error("no binary"));
    await inBackground({ ...slow([]), start }).start({ signal: never, lost: resolve });
    assert.equal((await promise).message, 'Cannot start component "slow"');
  });
});
