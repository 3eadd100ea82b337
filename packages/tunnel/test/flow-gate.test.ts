import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FlowGate } from "../src/flow-gate.ts";

const MIB2 = 2 ** 21;
const KIB256 = 2 ** 18;

describe("FlowGate", () => {
  for (const control of ["shared", "perDirection"] as const)
    test(`${control}: pauses once above 2 MiB and resumes once below 256 KiB`, () => {
      const gate = new FlowGate(control);
      assert.equal(gate.shouldPause(MIB2), false);
      assert.equal(gate.shouldPause(MIB2 + 1), true);
      assert.equal(gate.shouldPause(MIB2 + 2), false);
      assert.equal(gate.shouldResume(KIB256), false);
      assert.equal(gate.shouldResume(KIB256 - 1), true);
      assert.equal(gate.shouldResume(0), false);
    });

  test("perDirection: what is sent depends on the peer alone", () => {
    const gate = new FlowGate("perDirection");
    gate.shouldPause(MIB2 + 1);
    assert.ok(gate.maySend);
    assert.equal(gate.onPause(0), false);
    assert.ok(!gate.maySend);
    gate.shouldResume(0);
    assert.ok(!gate.maySend);
    gate.onResume();
    assert.ok(gate.maySend);
  });

  test("shared: who has asked for silence keeps it, but for a trickle", () => {
    const gate = new FlowGate("shared");
    gate.shouldPause(MIB2 + 1);
    assert.ok(!gate.maySend);
    assert.deepEqual(gate.probe(), { bytes: 32 * 1024 });
    assert.ok(gate.shouldResume(0));
    assert.ok(gate.maySend);
  });

  test("shared: pauses again after the peer has resumed in answer to our own Pause", () => {
    const gate = new FlowGate("shared");
    assert.ok(gate.shouldPause(MIB2 + 1));
    gate.onResume();
    assert.ok(gate.shouldPause(MIB2 + 1));
  });

  test("shared: resumes although a Resume of the peer has crossed our Pause", () => {
    const gate = new FlowGate("shared");
    gate.shouldPause(MIB2 + 1);
    gate.onResume();
    assert.ok(gate.shouldResume(0));
    assert.ok(!gate.shouldResume(0));
  });

  test("shared: lets a full peer go at once and asks it whether it still is full", () => {
    const gate = new FlowGate("shared");
    assert.ok(gate.onPause(0), "a peer with an empty-handed counterpart is let go");
    assert.ok(!gate.maySend);
    assert.deepEqual(gate.probe(), { bytes: 256 });
    assert.ok(gate.onPause(0), "it still is full");
    assert.deepEqual(gate.probe(), { bytes: 256 });
    assert.equal(gate.probe(), "free");
    assert.ok(gate.maySend);
  });

  test("shared: does not let a peer go while our own buffer is full", () => {
    const gate = new FlowGate("shared");
    assert.equal(gate.onPause(KIB256), false);
    assert.ok(gate.shouldResume(0));
  });

  test("shared: asks a peer that stays full less and less often", () => {
    const gate = new FlowGate("shared");
    gate.onPause(0);
    const first = gate.probeAfterMs;
    for (let round = 0; round < 20; round++) {
      gate.probe();
      gate.onPause(0);
    }
    assert.ok(gate.probeAfterMs > first && gate.probeAfterMs <= 320);
    gate.onResume();
    gate.onSent(2 ** 20);
    assert.equal(gate.probeAfterMs, first);
  });
});
