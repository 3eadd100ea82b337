import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { TokenReviewer } from "../src/index.ts";

interface Review {
  readonly spec: { readonly token: string };
}

/** A kube-apiserver that knows one token, and answers when `open` is called if it is `closed`. */
function api({ isClosed = false } = {}) {
  const gate = Promise.withResolvers<void>();
  const asked: string[] = [];
  if (!isClosed) gate.resolve();
  const create = async (path: string, review: unknown) => {
    assert.equal(path, "/apis/authentication.k8s.io/v1/tokenreviews");
    const { token } = (review as Review).spec;
    asked.push(token);
    await gate.promise;
    const user = { username: "system:bootstrap:abcdef", groups: ["system:bootstrappers"] };
    return { status: token === "good" ? { authenticated: true, user } : { authenticated: false } };
  };
  // Sound: nothing else of the client is used.
  const reviewer = new TokenReviewer(() => ({ create }) as unknown as KubeClient);
  return { reviewer, asked, open: () => gate.resolve() };
}

describe("TokenReviewer", () => {
  test("asks whose a token is, once for a while, and remembers strangers too", async () => {
    const { reviewer, asked } = api();
    for (let round = 0; round < 2; round++) {
      const identity = { name: "system:bootstrap:abcdef", groups: ["system:bootstrappers"] };
      assert.deepEqual(await reviewer.check("good"), identity);
      assert.equal(await reviewer.check("bad"), undefined);
    }
    assert.deepEqual(asked, ["good", "bad"]);
  });

  test("asks for a few at a time: who comes on top is told to come again", async () => {
    const { reviewer, asked, open } = api({ isClosed: true });
    const checks = Array.from({ length: 20 }, (_, index) => reviewer.check(`token-${index}`));
    assert.equal(await reviewer.check("one more"), "busy");
    open();
    const verdicts = await Promise.all(checks);
    assert.equal(asked.length, 8);
    assert.equal(verdicts.filter((verdict) => verdict === "busy").length, 12);
    assert.notEqual(await reviewer.check("good"), "busy");
  });
});
