import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Milestone } from "../src/milestone.ts";

const lost = () => undefined;
const soon = () => AbortSignal.timeout(10_000);

describe("Milestone", () => {
  test("lets those who wait for it start once it is reached, and later ones at once", async () => {
    const milestone = new Milestone("kubelet-ready");
    const order: string[] = [];
    const waiting = milestone.awaited.start({ signal: soon(), lost }).then(() => order.push("awaited"));
    await Promise.resolve();
    order.push("reached");
    await milestone.reached.start({ signal: soon(), lost });
    await waiting;
    await milestone.awaited.start({ signal: soon(), lost });
    assert.deepEqual(order, ["reached", "awaited"]);
  });

  test("gives up waiting with the reason of the start's signal", async () => {
    const controller = new AbortController();
    const waiting = new Milestone("kubelet-ready").awaited.start({ signal: controller.signal, lost });
    controller.abort(new Error("Received SIGTERM"));
    await assert.rejects(waiting, { message: "Received SIGTERM" });
  });
});
