import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { TurnCounter } from "@k3s/testkit";
import { connect } from "@nats-io/transport-node";
import { HistoryGuard } from "../src/history-guard.ts";
import { NatsLink } from "../src/nats-link.ts";
import { quietLog, startNats } from "./support/nats-fixture.ts";

/** More than are remembered. */
const NAMES = 3000;

const many = Array.from({ length: NAMES }, (_, i) => ({ id: i + 1, name: `/many/${i}` }));

/** For a bucket that keeps two rows of each key. */
async function openGuard(t: TestContext): Promise<HistoryGuard> {
  const server = await startNats(t);
  const connection = await connect({ servers: server.endpoint });
  const link = await NatsLink.over({ connection, log: quietLog(), slowMs: 0, shown: "nats" });
  t.after(() => link.close());
  return new HistoryGuard({ link, bucket: "kine", history: 2, owner: "test" });
}

describe("HistoryGuard", () => {
  test("holds a row up that would drop one which others may not have read", async (t) => {
    const guard = await openGuard(t);
    for (const id of [1, 2]) assert.equal(await guard.admit([{ id, name: "/a" }]), 0);
    assert.equal(await guard.admit([{ id: 3, name: "/a" }]), 1);
    assert.equal(await guard.admit([{ id: 3, name: "/b" }]), 0);
  });

  test("takes a transaction of more names than it remembers, and then holds up those that it may not know", async (t) => {
    const guard = await openGuard(t);
    assert.equal(await guard.admit(many), 0);
    assert.equal(await guard.admit([{ id: NAMES + 1, name: "/many/0" }]), 0);
    assert.equal(await guard.admit([{ id: NAMES + 2, name: "/other" }]), NAMES);
  });

  test("looks at the rows of a large transaction in slices, with the event loop free in between", async (t) => {
    const guard = await openGuard(t);
    const looks = new TurnCounter();
    const rows = Array.from({ length: 25_000 }, (_, i) => ({
      id: i + 1,
      get name() {
        looks.add();
        return `/many/${i}`;
      },
    }));
    assert.equal(await guard.admit(rows), 0);
    assert.ok(looks.most <= 10_000, `a turn looks at ${looks.most} names`);
    assert.equal(await guard.admit([{ id: 25_001, name: "/other" }]), 25_000);
  });

  test("blockerOf() tells before a batch what stands in its way", async (t) => {
    const guard = await openGuard(t);
    const twice = [4, 5].map((id) => ({ id, name: "/a" }));
    assert.deepEqual([guard.blockerOf(twice), guard.blockerOf(many)], [0, 0]);
    for (const id of [1, 2]) await guard.admit([{ id, name: "/a" }]);
    await guard.admit([{ id: 3, name: "/b" }]);
    assert.equal(guard.blockerOf([{ id: 4, name: "/c" }]), 0);
    assert.equal(guard.blockerOf(twice.slice(1)), 1);
    assert.equal(guard.blockerOf(twice), 2);
    assert.equal(guard.blockerOf(many), 3);
    assert.equal(guard.blockerOf(many.slice(0, 999)), 3); // with the known ones too many
  });

  test("withdraw() forgets rows that were not written", async (t) => {
    const guard = await openGuard(t);
    for (const id of [1, 2]) await guard.admit([{ id, name: "/a" }]);
    guard.withdraw(2);
    assert.equal(await guard.admit([{ id: 2, name: "/a" }]), 0);
    assert.equal(await guard.admit([{ id: 3, name: "/a" }]), 1);
    guard.withdraw(1);
    assert.equal(await guard.admit(many), 0);
    guard.withdraw(1);
    assert.equal(await guard.admit([{ id: 1, name: "/other" }]), 0);
  });
});
