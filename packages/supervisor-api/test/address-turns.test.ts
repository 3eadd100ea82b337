import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AddressTurns } from "../src/address-turns.ts";

const LIMITS = { placesMax: 3, placesEachMax: 2, waitingMax: 2, waitMs: 5_000 };

/** Who has been let in or turned away, in order. */
function rig(limits: Partial<typeof LIMITS> = {}) {
  const turns = new AddressTurns({ ...LIMITS, ...limits });
  const told: string[] = [];
  const places = new Map<string, () => void>();
  const enter = async (who: string, from: string) => {
    const leave = await turns.enter(from);
    told.push(leave === undefined ? `${who} away` : who);
    if (leave !== undefined) places.set(who, leave);
  };
  return { told, enter, leave: (who: string) => places.get(who)?.() };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("AddressTurns", () => {
  test("gives few places to one address, and a place that gets free to the address that has waited", async () => {
    const { told, enter, leave } = rig();
    void enter("a1", "10.0.0.1");
    void enter("a2", "10.0.0.1");
    void enter("a3", "10.0.0.1");
    void enter("b1", "10.0.0.2");
    void enter("c1", "10.0.0.3");
    await settled();
    assert.deepEqual(told, ["a1", "a2", "b1"]);
    leave("a1");
    await settled();
    assert.deepEqual(told.slice(3), ["c1"]);
    leave("c1");
    await settled();
    assert.deepEqual(told.slice(4), ["a3"]);
  });

  test("turns away the latest of the address that has most waiting", async () => {
    const { told, enter } = rig({ placesMax: 0 });
    for (const who of ["a1", "a2"]) void enter(who, "10.0.0.1");
    void enter("b1", "10.0.0.2");
    await settled();
    assert.deepEqual(told, ["a2 away"]);
  });

  test("turns away who would wait too long, and lets the next one in all the same", async () => {
    const { told, enter, leave } = rig({ placesMax: 1, waitMs: 1 });
    await enter("a1", "10.0.0.1");
    void enter("b1", "10.0.0.2");
    while (told.length < 2) await settled();
    leave("a1");
    await enter("c1", "10.0.0.3");
    assert.deepEqual(told, ["a1", "b1 away", "c1"]);
  });

  test("takes an IPv6 network of 64 bits for one address", async () => {
    const { told, enter } = rig({ placesEachMax: 1 });
    for (const from of ["fd00::1", "fd00:0:0:0:1::1", "fd00:0:0:1::1", "::1", "1:2:3:4:5:6:7:8", "1:2:3:4::"])
      void enter(from, from);
    await settled();
    assert.deepEqual(told.slice(0, 3), ["fd00::1", "fd00:0:0:1::1", "::1"]);
  });
});
