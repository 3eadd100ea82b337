import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { AloneAttempts } from "../src/alone-attempts.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });
const MEANINGS = ["later", "never"] as const;

/** Attempts that end as they are told to, by a clock that moves when it is told to. */
function start() {
  let nowMs = 0;
  let tried = 0;
  const attempts = new AloneAttempts({
    meaning: (error) => MEANINGS.find((meaning) => error instanceof Error && error.message === meaning),
    log,
    now: () => nowMs,
  });
  const attempt = (result: (typeof MEANINGS)[number] | "worked" | "broke") =>
    attempts.attempt(() => {
      tried++;
      return result === "worked" ? Promise.resolve() : Promise.reject(new Error(result));
    });
  return { attempts, attempt, tried: () => tried, wait: (ms: number) => void (nowMs += ms) };
}

describe("AloneAttempts", () => {
  test("tries each time while it works", async () => {
    const { attempts, attempt, tried } = start();
    assert.deepEqual([await attempt("worked"), await attempt("worked")], [true, true]);
    assert.deepEqual([tried(), attempts.isDue], [2, true]);
  });

  test("does not try within half a minute where somebody had the table, and then again", async () => {
    const { attempts, attempt, tried, wait } = start();
    assert.equal(await attempt("later"), false);
    wait(29_999);
    assert.deepEqual([await attempt("worked"), tried(), attempts.isDue], [false, 1, false]);
    wait(1);
    assert.deepEqual([attempts.isDue, await attempt("worked"), tried()], [true, true, 2]);
    assert.equal(await attempt("worked"), true);
  });

  test("never tries again what is not allowed or not there", async () => {
    const { attempts, attempt, tried, wait } = start();
    assert.equal(await attempt("never"), false);
    wait(Number.MAX_SAFE_INTEGER);
    assert.deepEqual([await attempt("worked"), tried(), attempts.isDue], [false, 1, false]);
  });

  test("passes other errors on, and tries again", async () => {
    const { attempt, tried } = start();
    await assert.rejects(attempt("broke"), /broke/);
    assert.deepEqual([await attempt("worked"), tried()], [true, 2]);
  });
});
