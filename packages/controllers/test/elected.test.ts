import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { aborted, repeat } from "@k3s/async";
import type { Component } from "@k3s/lifecycle";
import { createLogger } from "@k3s/log";
import { Elected } from "../src/elected.ts";

const log = createLogger({ level: "error", format: "text", write: () => undefined });

/** A server that leads until `lose` is called or it is stopped, once. */
async function lead(t: TestContext, member: Partial<Component>) {
  const lease = Promise.withResolvers<void>();
  const lost = Promise.withResolvers<Error>();
  const events: string[] = [];
  const isThere = Promise.withResolvers<void>();
  let terms = 0;
  const election = {
    stepDownMs: 200,
    acquire: (signal: AbortSignal) =>
      ++terms === 1 ? Promise.resolve() : aborted(signal).then(() => Promise.reject(new Error("stopped"))),
    hold: (signal: AbortSignal) => Promise.race([lease.promise, aborted(signal)]),
    release: () => Promise.resolve(void events.push("release")),
  };
  const whole: Component = {
    name: "member",
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(void events.push("stop")),
    ...member,
  };
  const start: Component["start"] = (context) => {
    isThere.resolve();
    return whole.start(context);
  };
  const members = () => [{ ...whole, start }];
  const elected = new Elected({ name: "elected", election, members, log });
  t.after(() => elected.stop(AbortSignal.abort()));
  const over = new AbortController();
  t.after(() => over.abort());
  void repeat(1_000, () => undefined, over.signal); // deadlines alone keep no process alive
  await elected.start({ signal: t.signal, lost: (error) => lost.resolve(error) });
  await isThere.promise;
  return { elected, events, lose: () => lease.resolve(), lost: lost.promise };
}

const never = new Promise<void>(() => undefined);

describe("Elected", () => {
  test("whose member takes no notice of being hurried ends the server when the lease is lost, and does not give it up", async (t) => {
    const { lose, lost, events } = await lead(t, { stop: () => never });
    lose();
    assert.match((await lost).message, /^Cannot step down: member /);
    assert.deepEqual(events, []);
  });

  test("whose member takes no notice of being hurried is stopped all the same, and does not give the lease up", async (t) => {
    const { elected, events } = await lead(t, { stop: () => never });
    await elected.stop(AbortSignal.timeout(60_000));
    assert.deepEqual(events, []);
  });

  test("hurries a member that would take its time", async (t) => {
    const { elected, events } = await lead(t, { stop: (hurry) => aborted(hurry) });
    await elected.stop(AbortSignal.timeout(60_000));
    assert.deepEqual(events, ["release"]);
  });

  test("stops a member that is still starting when the lease is lost", async (t) => {
    const stopped = Promise.withResolvers<void>();
    const { elected, lose, events } = await lead(t, {
      start: () => never,
      stop: () => {
        stopped.resolve();
        return Promise.resolve();
      },
    });
    lose();
    await stopped.promise;
    await elected.stop(AbortSignal.timeout(60_000));
    assert.deepEqual(events, ["release"]);
  });
});
