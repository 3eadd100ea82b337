import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ownerOf } from "../src/child-record.ts";
import { ProcessError } from "../src/errors.ts";
import { SupervisedChild, type SupervisedChildOptions } from "../src/supervised-child.ts";
import { isRunning, limit, LogBook, startContext, temporaryFolder } from "./support.ts";

const ENV = { PATH: "/usr/bin:/bin" };
/** Back at once, so that tests take no time; the waits themselves are tested with the policy. */
const QUICK = { delayMinMs: 1, delayMaxMs: 1 };
/** Stays in back-off until it is stopped. */
const SLOW = { delayMinMs: 1_000_000, delayMaxMs: 1_000_000 };
const SERVE = "touch ready; while :; do sleep 0.01; done";

/** A child that runs `text` in a folder of its own and is ready once a file called `ready` is there. */
function supervise(t: TestContext, text: string, overrides: Partial<SupervisedChildOptions> = {}) {
  const folder = temporaryFolder(t);
  const book = new LogBook();
  const child = new SupervisedChild({
    name: "fixture",
    log: book.log,
    command: () => {
      rmSync(join(folder, "ready"), { force: true });
      return { file: "/bin/sh", args: ["-c", text], env: ENV, cwd: folder };
    },
    isReady: async () => {
      await Promise.resolve();
      statSync(join(folder, "ready"));
    },
    policy: QUICK,
    ...overrides,
  });
  t.after(() => child.stop(AbortSignal.abort()));
  return { child, folder, book };
}

function pidOf(child: SupervisedChild): number {
  const { pid } = child.state.get();
  assert.ok(pid !== undefined);
  return pid;
}

async function until(child: SupervisedChild, phase: string, restarts = 0) {
  return child.state.until((state) => state.phase === phase && state.restarts >= restarts, limit());
}

describe("SupervisedChild", () => {
  test("prepare() refuses an executable that is missing", async (t) => {
    const { child } = supervise(t, SERVE, { executable: "/nonexistent/kubelet" });
    await assert.rejects(child.prepare(), (error) => {
      assert.ok(error instanceof ProcessError);
      assert.equal(error.code, "ERR_PROCESS_EXECUTABLE");
      assert.match(error.message, /^Cannot run "fixture": "\/nonexistent\/kubelet" is not an executable file$/);
      return true;
    });
  });

  for (const path of ["/etc/passwd", "/etc"]) {
    test(`prepare() refuses ${path}, which is no program`, async (t) => {
      await assert.rejects(supervise(t, SERVE, { executable: path }).child.prepare(), ProcessError);
    });
  }

  test("prepare() accepts a program", async (t) => {
    await supervise(t, SERVE, { executable: "/bin/sh" }).child.prepare();
  });

  test("start() resolves once the child is ready, not before", async (t) => {
    const { child, folder } = supervise(t, "touch up; while [ ! -e go ]; do sleep 0.01; done; " + SERVE);
    let isStarted = false;
    const starting = child.start(startContext()).then(() => (isStarted = true));
    const signal = limit();
    while (!existsSync(join(folder, "up"))) {
      signal.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual([isStarted, child.state.get().phase], [false, "starting"]);
    writeFileSync(join(folder, "go"), "");
    await starting;
    assert.equal(child.state.get().phase, "ready");
    assert.ok(await isRunning(pidOf(child)));
  });

  test("writes the child down while it runs", async (t) => {
    const directory = join(temporaryFolder(t), "run");
    const owner = await ownerOf("/");
    const { child } = supervise(t, SERVE, { records: { directory, owner } });
    await child.start(startContext());
    const path = join(directory, "fixture.json");
    const record = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    assert.deepEqual([record["pid"], record["file"]], [pidOf(child), "/bin/sh"]);
    assert.deepEqual([statSync(path).mode & 0o777, statSync(directory).mode & 0o777], [0o600, 0o700]);
    const environment = readFileSync(`/proc/${pidOf(child)}/environ`, "utf8");
    assert.ok(environment.includes(`K3S_SUPERVISED_BY=${owner}:${pidOf(child)}:`));
    await child.stop(limit());
    assert.ok(!existsSync(path));
  });

  test("goes on when the child cannot be written down", async (t) => {
    const { child, book } = supervise(t, SERVE, { records: { directory: "/dev/null/run", owner: "x" } });
    await child.start(startContext());
    await book.find((entry) => entry.msg === "cannot write down child, its mark has to do");
  });

  test("writes the output into a file when told so, and what it warns of into the log as well", async (t) => {
    const path = join(temporaryFolder(t), "child.log");
    const warning = "time=now level=warning msg=careful";
    const script = `echo hello; echo ${warning}; ${SERVE}`;
    const { child, book } = supervise(t, script, { rawOutput: { path, echo: "warn" } });
    await child.start(startContext());
    await child.stop(limit());
    assert.equal(readFileSync(path, "utf8"), `hello\n${warning}\n`);
    const said = book.entries.get().filter((entry) => entry["stream"] === "stdout");
    assert.deepEqual(
      said.map(({ level, msg }) => [level, msg]),
      [["warn", "careful"]],
    );
  });

  test("names the file with its output when it does not become ready", async (t) => {
    const path = join(temporaryFolder(t), "child.log");
    const { child } = supervise(t, "exit 1", { rawOutput: { path, echo: "warn" } });
    const starting = child.start(startContext(AbortSignal.timeout(1)));
    await assert.rejects(starting, (error: ProcessError) => error.hint?.endsWith(`"${path}"`) === true);
  });
});

describe("SupervisedChild that dies", () => {
  test("is started again, with a command that is made anew", async (t) => {
    let restarted = 0;
    const { child, book } = supervise(t, SERVE, { onRestarted: () => restarted++ });
    await child.start(startContext());
    const first = pidOf(child);
    process.kill(first, "SIGKILL");
    const state = await until(child, "ready", 1);
    assert.notEqual(state.pid, first);
    assert.deepEqual(state.lastExit, { code: null, signal: "SIGKILL" });
    assert.equal(restarted, 1);
    const warning = await book.find((entry) => entry.msg === "child has ended, starting it again");
    assert.deepEqual([warning.level, warning["child"], warning["how"]], ["warn", "fixture", "by signal SIGKILL"]);
  });

  test("is started again when it exits with success", async (t) => {
    const { child } = supervise(t, "touch ready; exit 0", { policy: QUICK });
    const starting = child.start(startContext());
    starting.catch(() => undefined);
    assert.deepEqual((await until(child, "starting", 3)).lastExit, { code: 0, signal: null });
  });

  test("says its last words", async (t) => {
    const { child, book } = supervise(t, "echo one; echo two >&2; exit 1", { policy: SLOW });
    void child.start(startContext()).catch(() => undefined);
    const warning = await book.find((entry) => entry.msg === "child has ended, starting it again");
    assert.deepEqual(new Set(warning["lastLines"] as string[]), new Set(["one", "two"]));
  });

  test("says the reason and not the goroutines that a Go program prints after it", async (t) => {
    const script = "echo 'unknown flag: --foo'; echo; echo 'goroutine 1 [running]:'; echo main.main; exit 2";
    const { child, book } = supervise(t, script, { policy: SLOW });
    void child.start(startContext()).catch(() => undefined);
    const warning = await book.find((entry) => entry.msg === "child has ended, starting it again");
    assert.deepEqual(warning["lastLines"], ["unknown flag: --foo"]);
  });

  test("checkHealth() asks the child that runs", async (t) => {
    const { child, folder } = supervise(t, SERVE);
    await child.start(startContext());
    await child.checkHealth(limit());
    rmSync(join(folder, "ready"));
    await assert.rejects(child.checkHealth(limit()), /ready/);
  });

  test("checkHealth() tells how the last one ended while there is no other", async (t) => {
    const { child } = supervise(t, SERVE, { policy: SLOW });
    await assert.rejects(child.checkHealth(limit()), /it has not answered yet/);
    await child.start(startContext());
    process.kill(pidOf(child), "SIGKILL");
    await until(child, "backoff");
    await assert.rejects(child.checkHealth(limit()), /it ended by signal SIGKILL/);
  });

  test("does not take the supervisor along when onRestarted throws", async (t) => {
    const onRestarted = () => {
      throw new Error("not today");
    };
    const { child, book } = supervise(t, SERVE, { onRestarted });
    await child.start(startContext());
    process.kill(pidOf(child), "SIGKILL");
    await until(child, "ready", 1);
    assert.equal((await book.find((entry) => entry.level === "error"))["error"], "not today");
    process.kill(pidOf(child), "SIGKILL");
    await until(child, "ready", 2);
  });

  test("is tried again while its command fails or its file is missing, and runs when they are there", async (t) => {
    let attempts = 0;
    const { child, folder, book } = supervise(t, "", {
      command: () => {
        attempts++;
        if (attempts === 1) throw new Error("no certificate yet");
        if (attempts === 3) writeFileSync(join(folder, "program"), `#!/bin/sh\n${SERVE}\n`, { mode: 0o755 });
        return { file: join(folder, "program"), args: [], env: ENV, cwd: folder };
      },
    });
    await child.start(startContext());
    assert.equal(child.state.get().restarts, 2);
    const failure = await book.find((entry) => entry.msg === "cannot start child, trying again");
    assert.deepEqual([failure.level, failure["error"]], ["error", "no certificate yet"]);
    await book.find((entry) => entry.level === "error" && entry.msg.endsWith("No such file or directory"));
  });

  test("is started again for ever when it ends at once, and others get their turn", async (t) => {
    const { child } = supervise(t, "exit 1");
    void child.start(startContext()).catch(() => undefined);
    await until(child, "starting", 20);
    await child.stop(limit());
    assert.equal(child.state.get().phase, "stopped");
  });
});

describe("SupervisedChild that does not get ready", () => {
  test("start() rejects with what is missing when its signal aborts", async (t) => {
    const signal = new AbortController();
    const isReady = () => Promise.reject(new Error("connection refused"));
    const { child, book } = supervise(t, "echo up; exec sleep 1000", { isReady });
    const starting = child.start(startContext(signal.signal));
    await book.find((entry) => entry.msg === "up");
    await new Promise((resolve) => setImmediate(resolve));
    signal.abort(new Error("took too long"));
    await assert.rejects(starting, (error) => {
      assert.ok(error instanceof ProcessError && error.code === "ERR_PROCESS_NOT_READY");
      assert.equal(error.message, 'Cannot start "fixture": it is not ready: connection refused');
      assert.match(String(error.cause), /took too long/);
      return true;
    });
  });

  test("start() rejects with the last words of a child that ends again and again", async (t) => {
    const signal = new AbortController();
    const { child } = supervise(t, "echo 'cannot read config' >&2; exit 1", { policy: SLOW });
    const starting = child.start(startContext(signal.signal));
    starting.catch(() => undefined);
    await until(child, "backoff");
    signal.abort();
    const message = 'Cannot start "fixture": it ended with code 1, its last words are "cannot read config"';
    await assert.rejects(starting, { message });
  });

  test("start() does not take the file of an earlier run for readiness of one that has ended", async (t) => {
    const { child } = supervise(t, "exit 1", { isReady: () => Promise.resolve(), policy: SLOW });
    void child.start(startContext()).catch(() => undefined);
    await until(child, "backoff");
    assert.equal(child.state.get().pid, undefined);
  });
});
