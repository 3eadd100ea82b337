import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PushHealth } from "../src/push-health.ts";

function start() {
  let nowMs = 0;
  const health = new PushHealth(() => nowMs);
  return { health, wait: (ms: number) => void (nowMs += ms) };
}

describe("PushHealth", () => {
  test("is alive while a session listens, and not before or after", () => {
    const { health } = start();
    assert.equal(health.isAlive, false);
    health.listening(true);
    assert.equal(health.isAlive, true);
    health.listening(false);
    assert.equal(health.isAlive, false);
  });

  test("is dead half a second after a row that is not announced, until that or a later one is", () => {
    const { health, wait } = start();
    health.listening(true);
    health.seen(7);
    wait(499);
    assert.equal(health.isAlive, true);
    health.seen(8); // does not give more time
    wait(1);
    assert.equal(health.isAlive, false);
    health.announced(6);
    assert.equal(health.isAlive, false);
    health.announced(9);
    assert.equal(health.isAlive, true);
  });

  test("waits for nothing that was announced before, or that was there before anybody listened", () => {
    const { health, wait } = start();
    health.seen(3);
    health.listening(true);
    health.announced(7);
    health.seen(7);
    wait(1000);
    assert.equal(health.isAlive, true);
  });

  test("begins anew with the next session", () => {
    const { health, wait } = start();
    health.listening(true);
    health.seen(1);
    wait(1000);
    health.listening(false);
    health.listening(true);
    assert.equal(health.isAlive, true);
  });
});
