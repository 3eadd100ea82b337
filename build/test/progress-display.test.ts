import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ProgressEvent } from "@k3s/components";
import { createProgressDisplay } from "../src/progress-display.ts";

/** What a display writes for events that come `stepMs` apart. */
function shown(events: readonly ProgressEvent[], columns: number | undefined, stepMs = 1000): string {
  let text = "";
  let now = 0;
  const display = createProgressDisplay({ write: (part) => (text += part), columns, now: () => now });
  for (const event of events) {
    display(event);
    now += stepMs;
  }
  return text;
}

const DOWNLOAD: readonly ProgressEvent[] = [
  { step: "Download", done: 0, total: 4_000_000, unit: "bytes" },
  { step: "Download", done: 1_000_000, total: 4_000_000, unit: "bytes" },
  { step: "Download", note: "the connection was cut, trying again" },
  { step: "Download", done: 4_000_000, total: 4_000_000, unit: "bytes", finished: true },
];

describe("createProgressDisplay()", () => {
  test("writes a line when a step begins, for a remark and when it ends, without a terminal", () => {
    const expected = ["Download …", "Download: the connection was cut, trying again", "Download: done in 3.0 s", ""];
    assert.equal(shown(DOWNLOAD, undefined), expected.join("\n"));
  });

  test("draws over a bar on a terminal", () => {
    const clear = "\r\u001b[K";
    const expected = [
      `${clear}Download [------------------------] 0 %  0.0 MB of 4.0 MB`,
      `${clear}Download [######------------------] 25 %  1.0 MB of 4.0 MB`,
      `${clear}Download: the connection was cut, trying again\n`,
    ];
    assert.ok(shown(DOWNLOAD, 120).startsWith(expected.join("")));
    assert.ok(shown(DOWNLOAD, 120).endsWith(`${clear}Download: done in 3.0 s\n`));
  });

  test("leaves nothing on a terminal after a remark, which may be the last that is told", () => {
    const clear = "\r\u001b[K";
    assert.equal(shown([{ step: "Build", note: "dist/k3s, 200 MB" }], 80), `${clear}Build: dist/k3s, 200 MB\n`);
    const remark = DOWNLOAD.slice(0, 3);
    assert.ok(shown(remark, 80).endsWith(`${clear}Download: the connection was cut, trying again\n`));
  });

  test("takes 80 columns for a terminal that does not tell its width", () => {
    assert.ok(shown([{ step: "Bundle k3s" }], 0).endsWith("Bundle k3s …"));
    const [, bar = ""] = shown([{ step: "A long name ".repeat(10), done: 1, total: 2 }], 0).split("\u001b[K");
    assert.equal(bar.length, 79);
  });

  test("draws a bar at most ten times a second", () => {
    const events = Array.from({ length: 100 }, (_, done) => ({ step: "Count", done, total: 100 }));
    assert.equal(shown(events, 80, 10).split("\r").length - 1, 10);
  });

  test("never writes a line that is wider than the terminal", () => {
    const [, bar = ""] = shown([{ step: "A step with a very long name", done: 1, total: 2 }], 20).split("\u001b[K");
    assert.equal(bar.length, 19);
  });

  test("shows an amount without a total", () => {
    assert.match(shown([{ step: "Download", done: 2_500_000, unit: "bytes" }], 80), /Download {2}2\.5 MB$/);
  });
});
