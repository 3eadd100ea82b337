import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { Driver } from "@k3s/datastore";
import { nextTurn } from "@k3s/async";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Bucket } from "../src/bucket.ts";
import { openDriver, startNats } from "./support/nats-fixture.ts";
import { nothing, ofKind, row } from "./support/rows.ts";

const SECOND_LEASE = { id: 6n, ttlSeconds: 60, expiresAtMs: 2 };

/** Two leases with an entry each, and a row; nothing has ended. */
async function withLeases(
  t: TestContext,
): Promise<{ readonly driver: Driver; readonly reopen: () => Promise<Driver>; readonly endpoint: string }> {
  const server = await startNats(t);
  const driver = await openDriver(t, server);
  const leases = [{ id: 5n, ttlSeconds: 60, expiresAtMs: 1 }, SECOND_LEASE];
  await driver.commit({ ...nothing, rows: [row(1, "/a")], leases });
  return { driver, reopen: () => openDriver(t, server), endpoint: server.endpoint };
}

/** Makes every removal of an entry go through `around`; the calls are counted. */
function removals(t: TestContext, around: (remove: () => Promise<void>, call: number) => Promise<void>): () => number {
  const remove = Reflect.get(Bucket.prototype, "remove");
  let calls = 0;
  t.mock.method(Bucket.prototype, "remove", function (this: Bucket, subject: string, upTo: number) {
    return around(() => remove.call(this, subject, upTo), ++calls);
  });
  return () => calls;
}

describe("forgetEnded()", () => {
  test("waits for a removal that is under way before it lets rows be written", async (t) => {
    const { driver } = await withLeases(t);
    const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const order: string[] = [];
    removals(t, async (remove) => {
      order.push("removal begun");
      begun.resolve();
      await held.promise;
      await remove();
      order.push("removal done");
    });
    await driver.commit({ ...nothing, after: 1, endedLeases: [5n] }); // its row has id 2
    await begun.promise;
    const publish = Reflect.get(Bucket.prototype, "publish");
    t.mock.method(Bucket.prototype, "publish", function (this: Bucket, ...args: Parameters<Bucket["publish"]>) {
      if (args[0].subject.startsWith("$KV.kine.")) order.push("row written");
      return publish.apply(this, args);
    });
    const purge = t.mock.method(Bucket.prototype, "purge");
    const written = driver.commit({ ...nothing, after: 2, rows: [row(3, "/b")] });
    const pruned = driver.prune({ rows: [1], spansUpTo: 0 }).then(() => order.push("pruned"));
    for (let turns = 0; turns < 100; turns++) await nextTurn();
    assert.deepEqual([order, purge.mock.callCount()], [["removal begun"], 0]);
    held.resolve();
    await Promise.all([written, pruned]);
    assert.equal(order[1], "removal done");
    assert.deepEqual(order.slice(2).sort(), ["pruned", "row written"]);
  });

  test("tries a removal again that failed, and rows come after it", async (t) => {
    const { driver, reopen } = await withLeases(t);
    const failed = Promise.withResolvers<void>();
    const calls = removals(t, async (remove, call) => {
      if (call > 1) return remove();
      failed.resolve();
      throw new Error("Cannot remove entry: the test says so");
    });
    await driver.commit({ ...nothing, after: 1, endedLeases: [5n] });
    await failed.promise;
    await driver.commit({ ...nothing, after: 2, rows: [row(3, "/b")] });
    assert.equal(calls(), 2);
    assert.deepEqual((await (await reopen()).side()).leases, [SECOND_LEASE]);
  });

  test("does not fail a commit for a removal that another began, which it tries again", async (t) => {
    const { driver } = await withLeases(t);
    const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const calls = removals(t, (remove, call) => {
      begun.resolve();
      return call === 1 ? held.promise : remove();
    });
    await driver.commit({ ...nothing, after: 1, endedLeases: [5n] });
    await begun.promise;
    const written = driver.commit({ ...nothing, after: 2, rows: [row(3, "/b")] });
    for (let turns = 0; turns < 20; turns++) await nextTurn();
    held.reject(new Error("Cannot remove entry: the test says so"));
    await written;
    assert.equal(calls(), 2);
  });

  test("rejects, and no row is written, while the removal fails", async (t) => {
    const { driver } = await withLeases(t);
    let isBroken = true;
    const failed = Promise.withResolvers<void>();
    removals(t, async (remove) => {
      if (!isBroken) return remove();
      failed.resolve();
      throw new Error("Cannot remove entry: the test says so");
    });
    await driver.commit({ ...nothing, after: 1, endedLeases: [5n] });
    await failed.promise;
    await assert.rejects(driver.commit({ ...nothing, after: 2, rows: [row(3, "/b")] }), /the test says so/);
    assert.deepEqual(
      (await driver.heads(2, 10)).map(({ id }) => id),
      [],
    );
    isBroken = false;
    await driver.commit({ ...nothing, after: 2, rows: [row(3, "/b")] });
    await assert.rejects(
      driver.commit({ ...nothing, after: 3, rows: [row(4, "/c", { lease: 5n })] }),
      ofKind("conflict"),
    );
  });
});

test("a lease whose entry was removed by somebody else can be renewed, at the second try", async (t) => {
  const { driver, endpoint } = await withLeases(t);
  const connection = await connect({ servers: endpoint });
  t.after(() => connection.close());
  const { streams } = await jetstreamManager(connection);
  const entry = await streams.getMessage("KV_kine-k3s", { last_by_subj: "$KV.kine-k3s.lease.5" });
  await streams.deleteMessage("KV_kine-k3s", entry?.seq ?? assert.fail());
  const renewal = { ...nothing, after: 1, leases: [{ id: 5n, ttlSeconds: 60, expiresAtMs: 9 }], requiredLeases: [5n] };
  await assert.rejects(driver.commit(renewal), ofKind("conflict"));
  await driver.commit(renewal);
  assert.deepEqual(
    (await driver.shared?.leases())?.find(({ id }) => id === 5n),
    renewal.leases[0],
  );
});
