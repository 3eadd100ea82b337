import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { aborted } from "@k3s/async";
import { inSequence, type Component } from "@k3s/lifecycle";
import { createLogger } from "@k3s/log";
import { createNotifier } from "@k3s/process";
import { serve } from "../src/serve.ts";
import { temporaryFolder } from "./cli-process.ts";
import { serviceManager } from "./service-manager.ts";

/** A host whose events are written down, and that can be asked to end. */
function recorder() {
  const events: string[] = [];
  const shutdown = new AbortController();
  const impatient = new AbortController();
  const up = Promise.withResolvers<void>();
  const note = (event: string) => {
    events.push(event);
    return Promise.resolve();
  };
  const lines: string[] = [];
  const host = {
    log: createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) }),
    notifier: {
      ready: async () => {
        await note("READY");
        up.resolve();
      },
      stopping: () => note("STOPPING"),
      status: () => Promise.resolve(),
      keepAlive: () => Promise.resolve(),
    },
    upMessage: "the node is up",
    downMessage: "the node has stopped",
    shutdown: shutdown.signal,
    impatient: impatient.signal,
  };
  return { events, lines, host, shutdown, impatient, up: up.promise };
}

function component(name: string, events: string[], parts: Partial<Component> = {}): Component {
  return {
    name,
    start: () => {
      events.push(`start ${name}`);
      return Promise.resolve();
    },
    stop: () => {
      events.push(`stop ${name}`);
      return Promise.resolve();
    },
    ...parts,
  };
}

describe("serve()", () => {
  test("starts in order, says ready, and stops in reverse when it is asked to", async () => {
    const { events, lines, host, shutdown, up } = recorder();
    const served = serve([component("a", events), component("b", events)], host);
    await up;
    shutdown.abort();
    await served;
    assert.deepEqual(events, ["start a", "start b", "READY", "STOPPING", "stop b", "stop a"]);
    assert.ok(lines.some((line) => line.includes('"component":"b"') && line.includes("durationMs")));
  });

  test("rejects with the error of a component that cannot start, after stopping those that had", async () => {
    const { events, host } = recorder();
    const failure = new Error("no disk");
    const components = [
      component("a", events),
      component("b", events, { start: () => Promise.reject(failure) }),
      component("c", events),
    ];
    await assert.rejects(serve(components, host), failure);
    assert.deepEqual(events, ["start a", "STOPPING", "stop b", "stop a"]);
  });

  test("rejects with what a running component was lost for", async () => {
    const { events, host, up } = recorder();
    const failure = new Error("gone");
    let lose: (error: Error) => void = () => undefined;
    const frail = component("a", events, {
      start: ({ lost }) => {
        lose = lost;
        return Promise.resolve();
      },
    });
    const served = serve([frail], host);
    await up;
    lose(failure);
    await assert.rejects(served, failure);
    assert.deepEqual(events, ["READY", "STOPPING", "stop a"]);
  });

  test("a component that is lost while another starts ends that start", async () => {
    const { events, host } = recorder();
    const failure = new Error("gone early");
    let lose: (error: Error) => void = () => undefined;
    const frail = component("a", events, {
      start: ({ lost }) => {
        lose = lost;
        return Promise.resolve();
      },
    });
    const slow = component("b", events, {
      start: async ({ signal }) => {
        lose(failure);
        await aborted(signal);
        signal.throwIfAborted();
      },
    });
    await assert.rejects(serve([frail, slow], host), failure);
    assert.deepEqual(events, ["STOPPING", "stop b", "stop a"]);
  });

  test("resolves when it is asked to end during the start, without saying ready", async () => {
    const { events, host, shutdown } = recorder();
    const slow = component("a", events, {
      start: async ({ signal }) => {
        queueMicrotask(() => shutdown.abort(new Error("Received SIGTERM")));
        await aborted(signal);
        signal.throwIfAborted();
      },
    });
    await serve([slow, component("b", events)], host);
    assert.deepEqual(events, ["STOPPING", "stop a"]);
  });

  test("a second request ends the patience with a component that does not stop", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] }); // the grace never ends by itself
    const { events, host, shutdown, impatient, up } = recorder();
    const stubborn = component("a", events, {
      stop: async (hurry) => {
        queueMicrotask(() => impatient.abort());
        await aborted(hurry);
        events.push("forced a");
      },
    });
    const served = serve([stubborn], host);
    await up;
    shutdown.abort();
    await served;
    assert.deepEqual(events, ["start a", "READY", "STOPPING", "forced a"]);
  });

  test("the grace to stop gently is 30 s", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { events, host, shutdown, up } = recorder();
    const waiting = Promise.withResolvers<void>();
    const stubborn = component("a", events, {
      stop: async (hurry) => {
        waiting.resolve();
        await aborted(hurry);
        events.push(String(hurry.reason));
      },
    });
    const served = serve([stubborn], host);
    await up;
    shutdown.abort();
    await waiting.promise;
    t.mock.timers.tick(29_999);
    assert.equal(events.at(-1), "STOPPING");
    t.mock.timers.tick(1);
    await served;
    assert.equal(events.at(-1), "DeadlineExceeded: Stopping the node took longer than 30 s");
  });

  test("gives up on a component that does not even stop by force, and names it", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { events, host, shutdown, impatient, up } = recorder();
    const waiting = Promise.withResolvers<void>();
    const stuck = component("b", events, {
      stop: (hurry) => {
        waiting.resolve();
        return aborted(hurry).then(() => new Promise(() => undefined));
      },
    });
    const served = serve([component("a", events), inSequence("group", [stuck])], host);
    await up;
    shutdown.abort();
    await waiting.promise;
    impatient.abort();
    await new Promise(setImmediate);
    t.mock.timers.tick(5000);
    await assert.rejects(served, {
      code: "ERR_STOP_STUCK",
      message: "Cannot stop the node: group/b did not stop in time",
    });
  });

  test("pings the watchdog of the service manager while the components are well, until it stops", async (t) => {
    const socket = join(await temporaryFolder(t), "notify.sock");
    const manager = await serviceManager(t, socket);
    const { events, host, shutdown } = recorder();
    const { promise: isIll, resolve: fallIll } = Promise.withResolvers<void>();
    let ill = false;
    const store = component("store", events, {
      checkHealth: () => {
        if (!ill) return Promise.resolve();
        fallIll();
        return Promise.reject(new Error("the disk does not answer"));
      },
    });
    const notifier = createNotifier(socket, { log: host.log, watchdogUsec: "20000" });
    const served = serve([store], { ...host, notifier });
    while ((await manager.next()) !== "WATCHDOG=1");
    ill = true;
    await isIll;
    shutdown.abort();
    await served;
    const rest: string[] = [];
    do rest.push(await manager.next());
    while (!(rest.at(-1) ?? "").startsWith("STATUS=Stopping"));
    assert.deepEqual(rest.filter((text) => text !== "WATCHDOG=1").slice(-2), ["STOPPING=1", "STATUS=Stopping store"]);
    assert.equal(rest.lastIndexOf("WATCHDOG=1") < rest.indexOf("STOPPING=1"), true);
  });

  test("a failing stop is an error by itself, but does not hide what made the node fail", async () => {
    const unstoppable: Partial<Component> = { stop: () => Promise.reject(new Error("stuck")) };
    const one = recorder();
    const served = serve([component("a", one.events, unstoppable)], one.host);
    await one.up;
    one.shutdown.abort();
    await assert.rejects(served, /Cannot stop every component/);

    const two = recorder();
    const failure = new Error("no disk");
    const broken = component("a", two.events, { ...unstoppable, start: () => Promise.reject(failure) });
    await assert.rejects(serve([broken], two.host), failure);
    assert.ok(two.lines.some((line) => line.includes("stuck")));
  });
});
