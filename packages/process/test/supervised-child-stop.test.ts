import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createConnection, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { SupervisedChild, type SupervisedChildOptions } from "../src/supervised-child.ts";
import { isRunning, limit, LogBook, startContext, temporaryFolder } from "./support.ts";

const NEVER = () => Promise.reject(new Error("never"));
const AT_ONCE = () => Promise.resolve();
const POLITE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done";
const STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.01; done";

function supervise(t: TestContext, text: string, overrides: Partial<SupervisedChildOptions> = {}) {
  const book = new LogBook();
  const child = new SupervisedChild({
    name: "fixture",
    log: book.log,
    command: () => ({ file: "/bin/sh", args: ["-c", text], env: { PATH: "/usr/bin:/bin" } }),
    isReady: AT_ONCE,
    policy: { delayMinMs: 1_000_000, delayMaxMs: 1_000_000 },
    ...overrides,
  });
  t.after(() => child.stop(AbortSignal.abort()));
  const up = () => book.find((entry) => entry.msg === "up");
  return { child, book, up };
}

async function assertStopped(child: SupervisedChild, pid?: number): Promise<void> {
  const { phase, pid: current } = child.state.get();
  assert.deepEqual({ phase, pid: current }, { phase: "stopped", pid: undefined });
  if (pid !== undefined) assert.ok(!existsSync(`/proc/${pid}`), "it is not reaped");
  await child.stop(AbortSignal.abort()); // a second time is fine in every state
}

describe("stop()", () => {
  test("does nothing before start()", async (t) => {
    const { child } = supervise(t, POLITE);
    await child.stop(limit());
    await assertStopped(child);
  });

  test("ends a ready child with SIGTERM and resolves once it is reaped", async (t) => {
    const { child, up } = supervise(t, POLITE);
    await child.start(startContext());
    const pid = Number((await up())["pid"]);
    await child.stop(limit());
    assert.deepEqual(child.state.get().lastExit, { code: 0, signal: null });
    await assertStopped(child, pid);
  });

  test("kills a stubborn child when hurry aborts, not before", async (t) => {
    const { child, up } = supervise(t, STUBBORN);
    await child.start(startContext());
    const pid = Number((await up())["pid"]);
    const hurry = new AbortController();
    const stopping = child.stop(hurry.signal);
    assert.deepEqual([child.state.get().phase, await isRunning(pid)], ["stopping", true]);
    hurry.abort();
    await stopping;
    assert.deepEqual(child.state.get().lastExit, { code: null, signal: "SIGKILL" });
    await assertStopped(child, pid);
  });

  test("kills a stubborn child by its own limit", async (t) => {
    const { child, up } = supervise(t, STUBBORN, { killGraceMs: 20 });
    await child.start(startContext());
    const pid = Number((await up())["pid"]);
    await child.stop(limit());
    await assertStopped(child, pid);
  });

  test("ends a child that is half way through its start, and start() rejects", async (t) => {
    const { child, up } = supervise(t, POLITE, { isReady: NEVER });
    const starting = child.start(startContext());
    const rejected = assert.rejects(starting, { code: "ERR_PROCESS_NOT_READY" });
    const pid = Number((await up())["pid"]);
    await child.stop(limit());
    await rejected;
    await assertStopped(child, pid);
  });

  test("does not wait for a readiness check that hangs", async (t) => {
    const { child, up } = supervise(t, POLITE, { isReady: () => new Promise(() => undefined) });
    const rejected = assert.rejects(child.start(startContext()));
    const pid = Number((await up())["pid"]);
    await child.stop(limit());
    await rejected;
    await assertStopped(child, pid);
  });

  test("does not wait for a command that hangs", async (t) => {
    const { child } = supervise(t, "", { command: () => new Promise(() => undefined) });
    const rejected = assert.rejects(child.start(startContext()));
    await child.stop(limit());
    await rejected;
    await assertStopped(child);
  });

  test("cuts a wait between two attempts short", async (t) => {
    const { child } = supervise(t, "exit 1", { isReady: NEVER });
    const rejected = assert.rejects(child.start(startContext()));
    await child.state.until((state) => state.phase === "backoff", limit());
    await child.stop(limit());
    await rejected;
    await assertStopped(child);
  });

  test("stops after a start that gave up", async (t) => {
    const { child, up } = supervise(t, POLITE, { isReady: NEVER });
    const signal = new AbortController();
    const rejected = assert.rejects(child.start(startContext(signal.signal)));
    const pid = Number((await up())["pid"]);
    signal.abort();
    await rejected;
    await child.stop(limit());
    await assertStopped(child, pid);
  });

  test("called twice at once, the more impatient call counts", async (t) => {
    const { child, up } = supervise(t, STUBBORN);
    await child.start(startContext());
    const pid = Number((await up())["pid"]);
    await Promise.all([child.stop(limit()), child.stop(AbortSignal.abort())]);
    await assertStopped(child, pid);
  });

  test("leaves the child ready to be started again", async (t) => {
    const { child } = supervise(t, POLITE);
    await child.start(startContext());
    await child.stop(limit());
    await child.start(startContext());
    assert.deepEqual([child.state.get().phase, child.state.get().restarts], ["ready", 0]);
    await assert.rejects(child.start(startContext()), { message: 'Cannot start "fixture": it is started already' });
  });

  test("leaves no record behind when the child dies by itself meanwhile", async (t) => {
    const directory = temporaryFolder(t);
    const { child, up } = supervise(t, STUBBORN, { records: { directory, owner: "me" } });
    await child.start(startContext());
    const pid = Number((await up())["pid"]);
    const stopping = child.stop(limit());
    process.kill(pid, "SIGKILL");
    await stopping;
    assert.ok(!existsSync(join(directory, "fixture.json")));
    await assertStopped(child, pid);
  });
});

describe("a server as child", () => {
  test("is ready when it accepts connections", async (t) => {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address() as AddressInfo; // listens on a port
    await new Promise((resolve) => probe.close(resolve));
    const server = `require("node:net").createServer().listen(${port}, "127.0.0.1")`;
    const connect = async (signal: AbortSignal) => {
      const socket = createConnection({ port, host: "127.0.0.1" });
      try {
        await once(socket, "connect", { signal });
      } finally {
        socket.destroy();
      }
    };
    const { child } = supervise(t, "", {
      command: () => ({ file: process.execPath, args: ["-e", server], env: {} }),
      isReady: connect,
    });
    await child.start(startContext());
    await connect(limit());
    await child.stop(limit());
    await assert.rejects(connect(limit()), { code: "ECONNREFUSED" });
  });
});
