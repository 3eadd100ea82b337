import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { WaitPace } from "../src/wait-pace.ts";

const START_MS = 5000;

/** Of failures at these times, in ms since the start, those of which the log is told. */
function toldOf(failures: readonly (readonly [atMs: number, code: string])[]): number[] {
  const pace = new WaitPace(START_MS);
  const due = failures.filter(([atMs, code], i) => pace.isDue(START_MS + atMs, { attempt: i + 1, code }));
  return due.map(([atMs]) => atMs);
}

/** A failure every two seconds. */
const failuresUntil = (endMs: number) => Array.from({ length: endMs / 2000 }, (_, i) => [i * 2000 + 100, "A"] as const);

describe("WaitPace tells", () => {
  const cases = [
    {
      name: "of the third try that fails fast",
      failures: [
        [1, "A"],
        [101, "A"],
        [301, "A"],
        [701, "A"],
      ],
      told: [301],
    },
    {
      name: "at once of a try that took long",
      failures: [
        [5000, "A"],
        [10_100, "A"],
      ],
      told: [5000],
    },
    {
      name: "of each other cause once, however often they change",
      failures: [
        [3000, "A"],
        [4000, "B"],
        [5000, "A"],
        [6000, "B"],
      ],
      told: [3000, 4000],
    },
  ] as const;
  for (const { name, failures, told } of cases) test(name, () => assert.deepEqual(toldOf(failures), told));

  test("once a minute of a wait that does not end", () => {
    assert.deepEqual(toldOf(failuresUntil(200_000)), [2100, 62_100, 122_100, 182_100]);
  });
});
