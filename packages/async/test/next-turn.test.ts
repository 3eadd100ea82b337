import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTurn } from "../src/index.ts";

test("nextTurn() lets what is ready run first, and promises do not stand in its way", async () => {
  const order: string[] = [];
  setImmediate(() => order.push("ready before"));
  const turn = nextTurn().then(() => order.push("turn"));
  await Promise.resolve().then(() => order.push("promise"));
  await turn;
  assert.deepEqual(order, ["promise", "ready before", "turn"]);
});
