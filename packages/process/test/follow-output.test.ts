import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { followOutput } from "../src/follow-output.ts";
import { RotatingFile } from "../src/rotating-file.ts";
import { readProcess } from "../src/proc-table.ts";
import { limit, LogBook } from "./support.ts";

const SILENT = { log: new LogBook().log, echo: "none", raw: undefined, onLine: () => undefined } as const;

/** A sink that takes its time until it is told to go on. */
class StuckFile extends RotatingFile {
  readonly #released: Promise<void>;

  constructor(released: Promise<void>) {
    super({ path: "/nonexistent/file", maxBytes: 1, backups: 0, maxAgeDays: 1 }, new LogBook().log);
    this.#released = released;
  }

  override write(): Promise<void> {
    return this.#released;
  }
}

describe("followOutput()", () => {
  test("lets the child wait while the sink is stuck, instead of keeping its output", async (t) => {
    const released = Promise.withResolvers<void>();
    const child = spawn("yes", [], { stdio: ["ignore", "pipe", "ignore"] });
    t.after(() => child.kill("SIGKILL"));
    assert.ok(child.stdout instanceof Socket);
    const { stdout } = child;
    const following = followOutput(stdout, { ...SILENT, raw: new StuckFile(released.promise) });

    const signal = limit();
    // A pipe holds 64 KiB: asleep with data read by us means that it is full, and that we have stopped reading.
    for (let asleep = 0, bytes = -1; asleep < 100; bytes = stdout.bytesRead) {
      signal.throwIfAborted();
      const row = await readProcess(child.pid ?? 0);
      asleep = row?.state === "S" && stdout.bytesRead > 0 && stdout.bytesRead === bytes ? asleep + 1 : 0;
    }
    assert.ok(stdout.bytesRead <= 512 * 1024, `${stdout.bytesRead} bytes were read`);

    child.kill("SIGKILL");
    released.resolve();
    await following;
  });

  test("leaves lines out of a flood, says how many, and goes on", async () => {
    const book = new LogBook();
    await followOutput(Readable.from([Buffer.from("x\n".repeat(20_000))]), { ...SILENT, echo: "debug", log: book.log });
    const entries = book.entries.get();
    const dropped = entries.filter((entry) => entry.msg === "child writes too fast, lines were left out");
    const total = dropped.reduce((sum, entry) => sum + Number(entry["droppedLines"]), 0);
    assert.ok(entries.length - dropped.length >= 5000);
    assert.equal(entries.length - dropped.length + total, 20_000);
    assert.deepEqual([dropped.length > 0, dropped[0]?.level], [true, "warn"]);
  });

  test("gives others their turn between two chunks", async () => {
    const order: string[] = [];
    const onLine = (line: string) => {
      order.push(line);
      setImmediate(() => order.push("other"));
    };
    await followOutput(Readable.from([Buffer.from("a\n"), Buffer.from("b\n")]), { ...SILENT, onLine });
    assert.deepEqual(order.slice(0, 3), ["a", "other", "b"]);
  });

  test("shows of a Go program's last words the goroutine that speaks, not those that wait", async () => {
    const dump = [
      "F0102 03:04:05.000006       1 server.go:294] leaderelection lost",
      "goroutine 1 [running]:",
      "main.main(0xc000076900, {0x1, 0x2})",
      "\t/src/main.go:7 +0x1d",
      "",
      "goroutine 18 [chan receive, 2 minutes]:",
      "k8s.io/klog/v2.(*loggingT).flushDaemon(0x0?)",
      "\t/src/klog.go:1169 +0x6a",
      "created by k8s.io/klog/v2.init.0",
      "\t/src/klog.go:420 +0xf6",
      "exit status 255",
    ];
    const book = new LogBook();
    const lines: string[] = [];
    const onLine = (line: string) => lines.push(line);
    await followOutput(Readable.from([Buffer.from(dump.join("\n"))]), {
      ...SILENT,
      echo: "debug",
      onLine,
      log: book.log,
    });
    const shown = book.entries.get().filter((entry) => entry.level !== "debug");
    const words = ["leaderelection lost", "goroutine 1 [running]:", dump[2], dump[3], "exit status 255"];
    assert.deepEqual(
      shown.map((entry) => entry.msg),
      words,
    );
    assert.deepEqual(lines, words);
    assert.equal(book.entries.get().length, dump.length - 1);
  });

  const echoes = [
    { echo: "debug", shown: ["a", "b", "c", "d", "plain"] },
    { echo: "warn", shown: ["c", "d"] },
    { echo: "none", shown: [] },
  ] as const;
  for (const { echo, shown } of echoes) {
    test(`has ${shown.length} of five lines in the log with echo ${echo}, and hears of all`, async () => {
      const levels = ["debug", "info", "warning", "fatal"];
      const text = levels.map((level, i) => `time="2026-01-02T03:04:05Z" level=${level} msg=${"abcd".charAt(i)}\n`);
      const book = new LogBook();
      const lines: string[] = [];
      const onLine = (line: string) => lines.push(line);
      const stream = Readable.from([Buffer.from(`${text.join("")}plain\n`)]);
      await followOutput(stream, { ...SILENT, echo, onLine, log: book.log });
      const messages = book.entries.get().map((entry) => entry.msg);
      assert.deepEqual([messages, lines], [shown, ["a", "b", "c", "d", "plain"]]);
    });
  }

  test("removes secrets from lines", async () => {
    const book = new LogBook();
    const line = "connecting to https://user:secret@db.example:1/x\n";
    await followOutput(Readable.from([Buffer.from(line)]), { ...SILENT, echo: "debug", log: book.log });
    assert.equal(book.entries.get()[0]?.msg, "connecting to https://********@db.example:1/x");
  });

  test("ends without an error when the stream is destroyed", async () => {
    const stream = new Readable({ read: () => undefined });
    const lines: string[] = [];
    const following = followOutput(stream, { ...SILENT, onLine: (line) => lines.push(line) });
    stream.push("begun");
    setImmediate(() => setImmediate(() => stream.destroy(new Error("broken"))));
    await following;
    assert.deepEqual(lines, ["begun"]);
  });
});
