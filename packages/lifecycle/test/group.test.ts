import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { atOnce, type Component, inSequence } from "../src/index.ts";

const never = new AbortController().signal;
const context = { signal: never, lost: () => undefined };

function part(
  name: string,
  events: string[],
  start: (signal: AbortSignal) => Promise<void> = () => Promise.resolve(),
): Component {
  return {
    name,
    start: async ({ signal }) => {
      events.push(`start ${name}`);
      await start(signal);
      events.push(`started ${name}`);
    },
    stop: () => {
      events.push(`stop ${name}`);
      return Promise.resolve();
    },
  };
}

describe("inSequence()", () => {
  test("starts a member when the one before it is ready, and stops in reverse", async () => {
    const events: string[] = [];
    const group = inSequence("group", [part("a", events), part("b", events)]);
    await group.start(context);
    await group.stop(never);
    assert.deepEqual(events, ["start a", "started a", "start b", "started b", "stop b", "stop a"]);
  });

  test("passes on that a member is lost", async () => {
    const losses: string[] = [];
    const start: Component["start"] = ({ lost }) => {
      lost(new Error("gone"));
      return Promise.resolve();
    };
    const member: Component = { ...part("a", []), start };
    await inSequence("group", [member]).start({ signal: never, lost: (error) => losses.push(error.message) });
    assert.deepEqual(losses, ["gone"]);
  });
});

describe("atOnce()", () => {
  test("does not let one member wait for another", async () => {
    const events: string[] = [];
    const gate = Promise.withResolvers<void>();
    const opener = part("b", events, () => {
      gate.resolve();
      return Promise.resolve();
    });
    const group = atOnce("group", [part("a", events, () => gate.promise), opener]);
    await group.start(context);
    assert.deepEqual(events.slice(0, 2), ["start a", "start b"]);
  });

  test("cancels the other starts when one fails, and rejects with that failure once all have ended", async () => {
    const events: string[] = [];
    const waiting = part("a", events, (signal) => {
      const { promise, reject } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => {
        events.push("cancelled a");
        reject(new Error("cancelled"));
      });
      return promise;
    });
    const group = atOnce("group", [waiting, part("b", events, () => Promise.reject(new Error("no binary")))]);
    await assert.rejects(group.start(context), { message: "no binary" });
    assert.equal(events.at(-1), "cancelled a");
  });

  test("stops every member although one cannot be stopped", async () => {
    const events: string[] = [];
    const stuck: Component = { ...part("a", events), stop: () => Promise.reject(new Error("stuck")) };
    const group = atOnce("group", [stuck, part("b", events)]);
    await assert.rejects(group.stop(never), { message: 'Cannot stop every component of "group"' });
    assert.deepEqual(events, ["stop b"]);
  });
});
