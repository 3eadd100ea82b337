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

test("CommitTrouble tells at its end how many commits failed", () => {
  const lines: string[] = [];
  const trouble = new CommitTrouble(createLogger({ level: "info", format: "json", write: (line) => lines.push(line) }));
  for (let i = 0; i < 3; i++) trouble.note(new Error("the disk is gone"));
  trouble.end();
  const told = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  assert.deepEqual(
    told.map(({ level, failedCommits, msg }) => ({ level, failedCommits, msg })),
    [
      { level: "error", failedCommits: undefined, msg: "cannot commit to the datastore" },
      { level: "info", failedCommits: 3, msg: "commits to the datastore work again" },
    ],
  );
});
