import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ProcessError, RotatingFile, runChild } from "@k3s/process";
import type { RunChildOptions } from "../src/run-child.ts";
import { isRunning, killAfter, limit, LogBook, temporaryFolder, untilState } from "./support.ts";

const ENV = { PATH: "/usr/bin:/bin" };

type Overrides = Partial<Omit<RunChildOptions, "log" | "command">> & { readonly env?: Record<string, string> };

/** Options to run a shell script; every child ends with the test at the latest. */
function script(t: TestContext, text: string, { env, ...overrides }: Overrides = {}) {
  const book = new LogBook();
  const stop = new AbortController();
  const hurry = new AbortController();
  t.after(() => hurry.abort());
  const options: RunChildOptions = {
    name: "fixture",
    log: book.log,
    command: { file: "/bin/sh", args: ["-c", text], env: { ...ENV, ...env } },
    hurry: hurry.signal,
    ...overrides,
  };
  return { book, stop, hurry, options };
}

function lines(book: LogBook): readonly string[] {
  return book.entries.get().map((entry) => entry.msg);
}

describe("runChild()", () => {
  test("reports the exit code", async (t) => {
    const { options } = script(t, "exit 7");
    assert.deepEqual(await runChild(options, limit()), { code: 7, signal: null });
  });

  test("reports the signal that ended the child", async (t) => {
    const { options } = script(t, "kill -SEGV $$");
    assert.deepEqual(await runChild(options, limit()), { code: null, signal: "SIGSEGV" });
  });

  test("logs each line with child, pid, stream and the level it has", async (t) => {
    const { options, book } = script(t, "echo $$; echo 'W1120 12:00:00.000000 1 a.go:9] hot' >&2; printf unfinished");
    await runChild(options, limit());
    const pid = Number(lines(book)[0]);
    const entries = book.entries.get().map(({ time: _, ...entry }) => entry);
    const where = { child: "fixture", pid };
    assert.deepEqual(
      new Set(entries),
      new Set([
        { level: "info", ...where, stream: "stdout", msg: String(pid) },
        { level: "warn", ...where, stream: "stderr", source: "a.go:9", msg: "hot" },
        { level: "info", ...where, stream: "stdout", msg: "unfinished" },
      ]),
    );
  });

  test("survives output that is not UTF-8 and lines without end", async (t) => {
    const { options, book } = script(t, "printf 'a\\377b\\n'; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last");
    await runChild(options, limit());
    const [odd, long, last] = lines(book);
    assert.deepEqual([odd, last], ["a\ufffdb", "last"]);
    assert.equal(long, `${"x".repeat(16 * 1024)}… (${3_000_000 - 16 * 1024} more bytes)`);
  });

  test("survives a child that closes its output and goes on", async (t) => {
    const { options, stop } = script(t, "exec >&- 2>&-; trap 'exit 4' TERM; kill -TERM $$; sleep 1000");
    assert.deepEqual(await runChild(options, stop.signal), { code: 4, signal: null });
  });

  test("passes exactly the environment it is given, but for what is meant for us", async (t) => {
    const env = { A: "1", NOTIFY_SOCKET: "/run/systemd/notify", WATCHDOG_USEC: "1", WATCHDOG_PID: "1" };
    const { options, book } = script(t, "exec env", { env });
    await runChild(options, limit());
    assert.deepEqual(new Set(lines(book)), new Set(["A=1", "PATH=/usr/bin:/bin", "PWD=/"]));
  });

  test("bears our mark when it has an owner", async (t) => {
    const { options, book } = script(t, "echo $K3S_SUPERVISED_BY $$", { owner: "me" });
    await runChild(options, limit());
    assert.match(lines(book)[0] ?? "", /^me:(\d+):\d+ \1$/);
  });

  test("leads a session of its own, so that Ctrl-C does not reach it", async (t) => {
    const { options, book } = script(t, "echo $$; cut -d' ' -f6 /proc/$$/stat");
    await runChild(options, limit());
    const [pid, session] = lines(book);
    assert.equal(session, pid);
  });

  test("hands the raw output to a file, and keeps it out of the log when told so", async (t) => {
    const path = join(temporaryFolder(t), "raw.log");
    const file = new RotatingFile({ path, maxBytes: 1e6, backups: 1, maxAgeDays: 1 }, new LogBook().log);
    const seen: string[] = [];
    const { options, book } = script(t, "echo one; printf '\\377'", { onLine: (line) => seen.push(line) });
    await runChild({ ...options, raw: { file, echo: "none" } }, limit());
    await file.close();
    assert.deepEqual(readFileSync(path), Buffer.from("one\n\u00ff", "latin1"));
    assert.deepEqual([lines(book), seen], [[], ["one", "\ufffd"]]);
  });

  test("does not wait for what the child has left behind", async (t) => {
    const { options, book } = script(t, "sleep 1000 & echo $!; exit 3");
    assert.deepEqual(await runChild(options, limit()), { code: 3, signal: null });
    const pid = Number(lines(book)[0]);
    killAfter(t, pid);
    assert.ok(await isRunning(pid));
  });

  test("reads all that was written before the end", async (t) => {
    const { options, book } = script(t, "seq 1 4000; kill -KILL $$");
    await runChild(options, limit());
    assert.deepEqual([book.entries.get().length, lines(book).at(-1)], [4000, "4000"]);
  });
});

describe("runChild() with a file that cannot be run", () => {
  const failures = [
    { name: "is missing", file: "missing", code: 127, reason: "No such file or directory" },
    { name: "is not executable", file: "plain", code: 126, reason: "Permission denied" },
    { name: "is damaged", file: "damaged", code: 126, reason: "Exec format error" },
    { name: "is a folder", file: "folder", code: 126, reason: "Permission denied" },
  ];
  for (const { name, file, code, reason } of failures) {
    test(`ends with code ${code} and says so when it ${name}`, async (t) => {
      const folder = temporaryFolder(t);
      writeFileSync(join(folder, "plain"), "", { mode: 0o644 });
      writeFileSync(join(folder, "damaged"), "not a program", { mode: 0o755 });
      mkdirSync(join(folder, "folder"));
      const { options, book } = script(t, "");
      const command = { file: join(folder, file), args: [], env: ENV };
      assert.deepEqual(await runChild({ ...options, command }, limit()), { code, signal: null });
      const [entry] = book.entries.get();
      const message = `k3s-launch: Cannot execute "${command.file}": ${reason}`;
      assert.deepEqual([entry?.level, entry?.msg], ["error", message]);
    });
  }

  test("ends with code 127 and names the folder when its working directory is gone", async (t) => {
    const { options, book } = script(t, "echo ran");
    const command = { ...options.command, cwd: "/nonexistent" };
    assert.deepEqual(await runChild({ ...options, command }, limit()), { code: 127, signal: null });
    assert.deepEqual(lines(book), ['k3s-launch: Cannot change to folder "/nonexistent": No such file or directory']);
  });

  test("rejects with a coded error when no process can be made", async (t) => {
    const { options } = script(t, "x".repeat(1_000_000)); // beyond what execve(2) takes as one argument
    await assert.rejects(
      runChild(options, limit()),
      (error) => error instanceof ProcessError && error.code === "ERR_PROCESS_SPAWN",
    );
  });

  test("rejects with the reason when it is to stop before it begins", async (t) => {
    const { options } = script(t, "exit 0");
    const reason = new Error("no more");
    await assert.rejects(runChild(options, AbortSignal.abort(reason)), reason);
  });
});

describe("runChild() that is told to stop", () => {
  test("sends SIGTERM and lets the child finish", async (t) => {
    const { options, stop, book } = script(t, "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done");
    const run = runChild(options, stop.signal);
    await book.find((entry) => entry.msg === "up");
    stop.abort();
    assert.deepEqual(await run, { code: 5, signal: null });
    assert.equal(lines(book).at(-1), "bye");
  });

  test("sends the signal it is given instead", async (t) => {
    const text = "trap 'exit 6' INT; echo up; while :; do sleep 0.01; done";
    const { options, stop, book } = script(t, text, { stopSignal: "SIGINT" });
    const run = runChild(options, stop.signal);
    await book.find((entry) => entry.msg === "up");
    stop.abort();
    assert.deepEqual(await run, { code: 6, signal: null });
  });

  const STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.01; done";

  test("kills a child that ignores SIGTERM once told to hurry, not before", async (t) => {
    const { options, stop, hurry, book } = script(t, STUBBORN);
    const run = runChild(options, stop.signal);
    const { pid } = await book.find((entry) => entry.msg === "up");
    stop.abort();
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(await isRunning(Number(pid)));
    hurry.abort();
    assert.deepEqual(await run, { code: null, signal: "SIGKILL" });
  });

  test("kills it after its own grace", async (t) => {
    const { options, stop, book } = script(t, STUBBORN, { killGraceMs: 20 });
    const run = runChild(options, stop.signal);
    await book.find((entry) => entry.msg === "up");
    stop.abort();
    assert.deepEqual(await run, { code: null, signal: "SIGKILL" });
  });

  test("kills a child that is frozen", async (t) => {
    const { options, stop, hurry, book } = script(t, "echo up; kill -STOP $$");
    const run = runChild(options, stop.signal);
    const { pid } = await book.find((entry) => entry.msg === "up");
    await untilState(Number(pid), "T");
    stop.abort();
    hurry.abort();
    assert.deepEqual(await run, { code: null, signal: "SIGKILL" });
  });
});
