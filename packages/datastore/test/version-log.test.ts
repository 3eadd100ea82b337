import assert from "node:assert/strict";
import { test } from "node:test";
import type { Version } from "../src/version.ts";
import { VersionLog } from "../src/version-log.ts";

function version(mod: number): Version {
  const rest = { lease: 0n, deleted: false, previous: undefined, value: undefined };
  return { key: `k${mod}`, row: mod, mod, create: mod, version: 1, ...rest };
}

/** Numbers below `limit` that are the same in every run. */
function* numbers(limit: number): Generator<number, never> {
  for (let state = 7; ; state = (state * 48_271) % 2_147_483_647) yield state % limit;
}

test("VersionLog: holds what was pushed between its start and its end, wherever it was cut", () => {
  const log = new VersionLog();
  const held: Version[] = [];
  let start = 0;
  const random = numbers(1000);
  for (let step = 0; step < 300; step++) {
    const [kind, amount] = [random.next().value % 10, random.next().value];
    if (kind < 6) {
      for (let i = 0; i < amount; i++) {
        const next = version(2 * (start + held.length));
        held.push(next);
        log.push(next);
      }
    } else if (kind < 8) {
      for (let i = 0; i < amount; i++) assert.equal(log.pop(), held.pop());
    } else {
      const dropped = Math.min(amount * 3, held.length);
      held.splice(0, dropped);
      start += dropped;
      log.dropBefore(start);
    }
    assert.deepEqual([log.start, log.end], [start, start + held.length]);
    for (const offset of [-1, 0, 1, held.length >> 1, held.length - 1, held.length])
      assert.equal(log.at(start + offset), held[offset]);
    const wanted = random.next().value % (held.length + 1);
    assert.equal(log.find(2 * (start + wanted)), start + wanted);
    if (wanted < held.length) assert.equal(log.find(2 * (start + wanted) + 1), start + wanted + 1);
  }
});
