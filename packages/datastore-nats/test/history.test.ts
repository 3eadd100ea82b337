import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openTestStore, startNats } from "./support/nats-fixture.ts";
import { just, put } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";

describe("x", () => {
  test("hot key", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openTestStore(t, server), await openTestStore(t, server)];
    const recorder = new Recorder(two);
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 200 }, (_, i) => one.txn(just(put("/hot", `${round} ${i}`)))));
      console.log(round, recorder.events.length);
    }
    await one.txn(just(put("/end", "")));
    await two.txn(just(put("/end", "")));
    console.log(recorder.events.length, await two.status());
    assert.ok(true);
  });
});
