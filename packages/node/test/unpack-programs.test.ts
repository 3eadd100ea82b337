import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@k3s/log";
import { unpackProgress } from "../src/unpack-programs.ts";

test("unpackProgress() says something every two seconds, not more often", () => {
  const lines: string[] = [];
  let clock = 0;
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
  const report = unpackProgress(log, () => clock);
  for (clock = 500; clock <= 5_000; clock += 500) report(clock, 10_000);
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { percent: number }).percent),
    [20, 40],
  );
});
