import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assembled, atOnce, type Component, ComponentManager, inBackground, inSequence } from "../src/index.ts";

const never = new AbortController().signal;

function part(name: string, parts: Partial<Component> = {}): Component {
  return { name, start: () => Promise.resolve(), stop: () => Promise.resolve(), ...parts };
}

/** A member at the bottom of every kind of group. */
function nested(member: Component): ComponentManager {
  const group = atOnce("together", [part("other"), inSequence("chain", [member])]);
  return new ComponentManager([assembled("server", () => Promise.resolve([inBackground(group)]))]);
}

describe("ComponentManager.checkHealth()", () => {
  const ill = { checkHealth: () => Promise.reject(new Error("disk does not answer")) };

  test("asks a member through groups of every kind, from its start until its stop", async () => {
    const manager = nested(part("store", ill));
    await manager.checkHealth(never);
    await manager.start(never);
    await new Promise(setImmediate); // the start in the background
    await assert.rejects(manager.checkHealth(never), { message: "disk does not answer" });
    await manager.stop(never);
    await manager.checkHealth(never);
  });

  test("does not ask a component whose start goes on in the background", async () => {
    const slow = inBackground(part("slow", { ...ill, start: () => new Promise(() => undefined) }));
    const manager = new ComponentManager([slow]);
    await manager.start(never);
    await manager.checkHealth(never);
  });

  test("is fine with components that have nothing to say", async () => {
    const manager = nested(part("mute"));
    await manager.start(never);
    await manager.checkHealth(never);
  });
});

describe("ComponentManager.stopping()", () => {
  test("names what a stop waits for, through groups of every kind", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const stop = () => {
      begun.resolve();
      return gate.promise;
    };
    const manager = nested(part("stuck", { stop }));
    await manager.start(never);
    assert.deepEqual(manager.stopping(), []);
    const stopped = manager.stop(never);
    await begun.promise;
    await new Promise(setImmediate);
    assert.deepEqual(manager.stopping(), ["server/together/chain/stuck"]);
    gate.resolve();
    await stopped;
    assert.deepEqual(manager.stopping(), []);
  });
});

describe("ComponentManager.starting()", () => {
  test("names what a start waits for, through groups of every kind", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const late = part("late", {
      start: () => {
        begun.resolve();
        return gate.promise;
      },
    });
    const build = Promise.withResolvers<readonly Component[]>();
    const manager = new ComponentManager([part("first"), assembled("server", () => build.promise, "programs")]);
    assert.deepEqual(manager.starting(), []);
    const started = manager.start(never);
    await new Promise(setImmediate);
    assert.deepEqual(manager.starting(), ["server/programs"]);
    build.resolve([atOnce("together", [part("other"), inSequence("chain", [part("early"), late])])]);
    await begun.promise;
    await new Promise(setImmediate);
    assert.deepEqual(manager.starting(), ["server/together/chain/late"]);
    gate.resolve();
    await started;
    assert.deepEqual(manager.starting(), []);
  });

  test("forgets what could not be started", async () => {
    const manager = new ComponentManager([part("frail", { start: () => Promise.reject(new Error("no disk")) })]);
    await assert.rejects(manager.start(never), { message: "no disk" });
    assert.deepEqual(manager.starting(), []);
  });
});
