import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Component, ComponentManager, type StartContext } from "../src/index.ts";

const never = new AbortController().signal;

function recorder() {
  const events: string[] = [];
  const make = (name: string, parts: Partial<Component> = {}): Component => ({
    name,
    prepare: () => Promise.resolve(void events.push(`prepare ${name}`)),
    start: () => Promise.resolve(void events.push(`start ${name}`)),
    stop: () => Promise.resolve(void events.push(`stop ${name}`)),
    ...parts,
  });
  return { events, make };
}

describe("ComponentManager", () => {
  test("prepares all before it starts any, and stops in reverse", async () => {
    const { events, make } = recorder();
    const manager = new ComponentManager([make("a"), make("b")]);
    await manager.start(never);
    await manager.stop(never);
    assert.deepEqual(events, ["prepare a", "prepare b", "start a", "start b", "stop b", "stop a"]);
  });

  test("starts nothing when a check fails", async () => {
    const { events, make } = recorder();
    const manager = new ComponentManager([
      make("a"),
      make("b", { prepare: () => Promise.reject(new Error("no root")) }),
    ]);
    await assert.rejects(manager.start(never), { message: "no root" });
    await manager.stop(never);
    assert.deepEqual(events, ["prepare a"]);
  });

  test("leaves no check at work when one has failed", async () => {
    const { events, make } = recorder();
    const prepare = async (signal: AbortSignal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      await new Promise(setImmediate);
      events.push("cancelled a");
    };
    const broken = make("b", { prepare: () => Promise.reject(new Error("no root")) });
    await assert.rejects(new ComponentManager([make("a", { prepare }), broken]).start(never), { message: "no root" });
    assert.deepEqual(events, ["cancelled a"]);
  });

  test("stops the component whose start failed, and those before it", async () => {
    const { events, make } = recorder();
    const manager = new ComponentManager([
      make("a"),
      make("b", { start: () => Promise.reject(new Error("port taken")) }),
      make("c"),
    ]);
    await assert.rejects(manager.start(never), { message: "port taken" });
    await manager.stop(never);
    assert.deepEqual(events.slice(3), ["start a", "stop b", "stop a"]);
  });

  test("starts no further component once its signal aborted", async () => {
    const { events, make } = recorder();
    const controller = new AbortController();
    const start = () => {
      controller.abort(new Error("ctrl-c"));
      return Promise.resolve();
    };
    const manager = new ComponentManager([make("a", { start }), make("b")]);
    await assert.rejects(manager.start(controller.signal), { message: "ctrl-c" });
    assert.equal(events.includes("start b"), false);
  });

  test("stops the others when one cannot be stopped, and says which", async () => {
    const { events, make } = recorder();
    const manager = new ComponentManager([make("a"), make("b", { stop: () => Promise.reject(new Error("stuck")) })]);
    await manager.start(never);
    await assert.rejects(
      manager.stop(never),
      (error: unknown) => error instanceof AggregateError && /"b"/.test(String(error.errors[0])),
    );
    assert.equal(events.at(-1), "stop a");
  });

  test("stops nothing twice", async () => {
    const { events, make } = recorder();
    const manager = new ComponentManager([make("a")]);
    await manager.start(never);
    await manager.stop(never);
    await manager.stop(never);
    assert.deepEqual(events.filter((event) => event === "stop a").length, 1);
  });

  test("lost aborts with the error of the component that is gone", async () => {
    const { make } = recorder();
    let context: StartContext | undefined;
    const manager = new ComponentManager([make("a", { start: (given) => Promise.resolve(void (context = given)) })]);
    await manager.start(never);
    assert.equal(manager.lost.aborted, false);
    context?.lost(new Error("gone"));
    assert.equal(String(manager.lost.reason), "Error: gone");
  });
});
