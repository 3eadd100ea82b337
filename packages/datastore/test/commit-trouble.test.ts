import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@k3s/log";
import { CommitTrouble } from "../src/commit-trouble.ts";

test("CommitTrouble warns of another program's writes once a minute", () => {
  const lines: string[] = [];
  let now = 0;
  const log = createLogger({ level: "warn", format: "text", write: (line) => lines.push(line) });
  const trouble = new CommitTrouble(log, () => now);
  const told = [0, 1, 59_999, 60_000, 60_001].map((at) => {
    now = at;
    trouble.noteForeignWrite(new Error("a row is there"));
    return lines.length;
  });
  assert.deepEqual(told, [1, 1, 1, 2, 2]);
  assert.match(lines.join(""), /WARN.*another program wrote to the datastore/);
});
