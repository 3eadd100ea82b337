import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assembled, type Component } from "../src/index.ts";

const never = new AbortController().signal;
const context = { signal: never, lost: () => undefined };

function part(name: string, events: string[]): Component {
  const note = (event: string) => {
    events.push(`${event} ${name}`);
    return Promise.resolve();
  };
  return { name, prepare: () => note("prepare"), start: () => note("start"), stop: () => note("stop") };
}

describe("assembled()", () => {
  test("builds at start, prepares and starts what was built, and stops it in reverse", async () => {
    const events: string[] = [];
    const component = assembled("node", () => {
      events.push("build");
      return Promise.resolve([part("a", events), part("b", events)]);
    });
    assert.deepEqual(events, []);
    await component.start(context);
    await component.stop(never);
    assert.deepEqual(events, ["build", "prepare a", "prepare b", "start a", "start b", "stop b", "stop a"]);
  });

  test("has nothing to stop before start, nor when building failed", async () => {
    const component = assembled("node", () => Promise.reject(new Error("no programs")));
    await component.stop(never);
    await assert.rejects(component.start(context), { message: "no programs" });
    await component.stop(never);
  });
});
