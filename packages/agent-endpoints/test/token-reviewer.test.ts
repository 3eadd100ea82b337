import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn } from "@k3s/async";
import type { KubeClient } from "@k3s/kube-client";
import { TokenReviewer } from "../src/index.ts";

interface Review {
  readonly spec: { readonly token: string };
}

/** A kube-apiserver that knows one token; if it is `closed`, it answers nothing but what `answerNext` lets it. */
function api({ isClosed = false } = {}) {
  const waiting: (() => void)[] = [];
  const asked: string[] = [];
  const create = async (path: string, review: unknown) => {
    assert.equal(path, "/apis/authentication.k8s.io/v1/tokenreviews");
    const { token } = (review as Review).spec;
    asked.push(token);
    if (isClosed) await new Promise<void>((resolve) => waiting.push(resolve));
    const user = { username: "system:bootstrap:abcdef", groups: ["system:bootstrappers"] };
    return { status: token === "good" ? { authenticated: true, user } : { authenticated: false } };
  };
  // Sound: nothing else of the client is used.
  const reviewer = new TokenReviewer(() => ({ create }) as unknown as KubeClient);
  const answerNext = () => waiting.shift()?.();
  /** Until nobody waits any more. */
  const answerAll = async () => {
    for (answerNext(); waiting.length > 0; answerNext()) await nextTurn();
  };
  return { reviewer, asked, answerNext, answerAll };
}

const GOOD = { name: "system:bootstrap:abcdef", groups: ["system:bootstrappers"] };
/** Checks of as many tokens that nobody has. */
const storm = (reviewer: TokenReviewer, count: number, from: string) =>
  Array.from({ length: count }, (_, index) => reviewer.check(`${from}-${index}`, from));

describe("TokenReviewer", () => {
  test("asks whose a token is, once for a while, and remembers strangers too", async () => {
    const { reviewer, asked } = api();
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(await reviewer.check("good", "10.0.0.1"), GOOD);
      assert.equal(await reviewer.check("bad", "10.0.0.1"), undefined);
    }
    assert.deepEqual(asked, ["good", "bad"]);
  });

  test("remembers who is known however many strangers come", async () => {
    const { reviewer, asked } = api();
    await reviewer.check("good", "10.0.0.1");
    for (let index = 0; index < 1_100; index++) await reviewer.check(`made-up-${index}`, "10.0.0.66");
    assert.deepEqual(await reviewer.check("good", "10.0.0.1"), GOOD);
    assert.equal(asked.filter((token) => token === "good").length, 1);
  });

  test("a storm of made-up tokens from one address keeps nobody from elsewhere waiting", async () => {
    const { reviewer, asked, answerAll } = api({ isClosed: true });
    const strangers = storm(reviewer, 400, "10.0.0.66");
    await nextTurn();
    assert.equal(asked.length, 2);
    const check = reviewer.check("good", "10.0.0.1");
    await nextTurn();
    assert.equal(asked[2], "good");
    await answerAll();
    assert.deepEqual(await check, GOOD);
    const verdicts = await Promise.all(strangers);
    assert.equal(verdicts.filter((verdict) => verdict === "busy").length, 142);
    assert.equal(asked.length, 400 - 142 + 1);
  });

  test("nor do several, each of which asks as much as it can: who comes from elsewhere is the next", async () => {
    const { reviewer, asked, answerNext, answerAll } = api({ isClosed: true });
    const strangers = ["10.0.0.66", "10.0.0.67", "10.0.0.68", "fd00::1"].map((from) => storm(reviewer, 100, from));
    await nextTurn();
    assert.equal(asked.length, 8);
    const check = reviewer.check("good", "10.0.0.1");
    for (let place = 0; place < 4; place++) {
      answerNext();
      await nextTurn();
    }
    assert.ok(asked.includes("good"), asked.join());
    await answerAll();
    assert.deepEqual(await check, GOOD);
    await Promise.all(strangers.flat());
  });
});
