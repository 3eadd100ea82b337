import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { Follow } from "../src/follow.ts";

/** What follows a database whose answers are those of `fresh`, which is told the number of the question. */
function newFollow(t: TestContext, fresh: (question: number) => Promise<void>) {
  const asked = new Latest(0);
  const stop = new AbortController();
  const follow = new Follow({
    fresh: () => {
      asked.set(asked.get() + 1);
      return fresh(asked.get());
    },
    log: createLogger({ level: "error", format: "text", write: () => undefined }),
    signal: stop.signal,
  });
  t.after(() => stop.abort(new Error("over")));
  const questions = (count: number) => asked.until((now) => now >= count, AbortSignal.timeout(20_000));
  return { follow, stop, asked, questions };
}

const away = () => Promise.reject(new Error("the database is away"));

describe("Follow", () => {
  test("asks once where the database answers", async (t) => {
    const { follow, asked } = newFollow(t, () => Promise.resolve());
    await follow.told();
    await follow.idle();
    assert.equal(asked.get(), 1);
  });

  test("asks until the database answers, as it is told of a change once", async (t) => {
    const { follow, asked, questions } = newFollow(t, (question) => (question < 4 ? away() : Promise.resolve()));
    await follow.told();
    await questions(4);
    await follow.idle();
    assert.equal(asked.get(), 4);
  });

  test("asks again for a change that it was told of while it asked, and could not ask for", async (t) => {
    const { promise: answer, resolve } = Promise.withResolvers<void>();
    const { follow, asked, questions } = newFollow(t, (question) => {
      if (question === 2) return answer;
      return question < 4 ? away() : Promise.resolve();
    });
    await follow.told();
    await questions(2);
    await follow.told(); // the third question
    resolve();
    await questions(4);
    await follow.idle();
    assert.equal(asked.get(), 4);
  });

  test("asks no more once the store closes", async (t) => {
    const { follow, stop, asked } = newFollow(t, away);
    await follow.told();
    stop.abort(new Error("closed"));
    await follow.idle();
    assert.equal(asked.get(), 1);
  });
});
