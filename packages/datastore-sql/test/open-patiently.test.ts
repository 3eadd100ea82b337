import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import { openPatiently } from "../src/index.ts";

class Told extends Error {
  readonly code: string;
  readonly hint = "Look there";

  constructor(code: string, cause: unknown) {
    super(code, { cause });
    this.code = code;
  }
}

const explain = (error: unknown) => new Told(error instanceof Error ? error.message : "CUT", error);

function waiting(signal: AbortSignal) {
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
  return { lines, options: { server: "h:1", explain, passing: new Set(["AWAY", "CUT"]), log, signal } };
}

/** A clock on which each failed try has taken this long. */
function clock(t: TestContext, tryMs: number) {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  return () => {
    now += tryMs;
  };
}

/** A first try that finds nobody, and a second one that fails with `code` after the wait was ended. */
function endingWith(code: string) {
  const stop = new AbortController();
  let tries = 0;
  const open = () => {
    if (++tries === 1) return Promise.reject(new Error("AWAY"));
    stop.abort();
    return Promise.reject(new Error(code));
  };
  return { open, ...waiting(stop.signal) };
}

describe("openPatiently()", () => {
  test("tells the log again after a minute, and how long it has been waited", async (t) => {
    const tick = clock(t, 30_000);
    const { lines, options } = waiting(t.signal);
    let tries = 0;
    const open = () => {
      tick();
      return ++tries < 5 ? Promise.reject(new Error("AWAY")) : Promise.resolve("open");
    };
    assert.equal(await openPatiently(open, options), "open");
    const waited = lines.map((line) => /"durationMs":(\d+).*"hint":"Look there".*waiting for/.exec(line)?.[1]);
    assert.deepEqual(waited, ["30000", "90000"]);
  });

  test("rejects with what the last whole try found where one is cut short", async () => {
    const { open, options } = endingWith("CUT");
    await assert.rejects(openPatiently(open, options), { code: "AWAY" });
    await assert.rejects(openPatiently(open, options), /aborted/i);
  });

  test("rejects at once with what does not pass, also when it is told to end", async () => {
    const { open, options } = endingWith("OTHER");
    await assert.rejects(openPatiently(open, options), { code: "OTHER" });
  });
});
