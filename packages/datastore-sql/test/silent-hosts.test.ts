import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SilentHosts } from "../src/silent-hosts.ts";

const TARGETS = ["a by TLS", "a", "b"];

function start() {
  const clock = { ms: 0 };
  const silent = new SilentHosts<string>({ nameOf: (target) => target.slice(0, 1), now: () => clock.ms });
  return { silent, clock };
}

describe("SilentHosts", () => {
  test("inOrder() leaves out other ways to a host that turns out to be silent", () => {
    const { silent, clock } = start();
    const tried: string[] = [];
    for (const target of silent.inOrder(TARGETS)) {
      tried.push(target);
      clock.ms += 5000;
      if (target === "a by TLS") silent.note(target);
    }
    assert.deepEqual(tried, ["a by TLS", "b"]);
  });

  test("sort() has a host that was silent behind the others, for half a minute", () => {
    const { silent, clock } = start();
    silent.note("a");
    clock.ms = 29_999;
    assert.deepEqual(silent.sort(TARGETS), ["b", "a by TLS", "a"]);
    clock.ms = 30_000;
    assert.deepEqual(silent.sort(TARGETS), TARGETS);
  });

  test("inOrder() tries a host that was silent before as well", () => {
    const { silent } = start();
    for (const target of TARGETS) silent.note(target);
    assert.deepEqual([...silent.inOrder(TARGETS)], TARGETS);
  });
});
