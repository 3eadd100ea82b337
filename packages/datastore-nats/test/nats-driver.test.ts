import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "@k3s/async";
import { CLAIM_LIMIT_MS, type Driver, type SharedDatabase } from "@k3s/datastore";
import { Bucket } from "../src/bucket.ts";
import { HistoryGuard } from "../src/history-guard.ts";
import { NatsLink } from "../src/nats-link.ts";
import { RowMessages } from "../src/row-message.ts";
import { RowTail } from "../src/row-tail.ts";
import { RowWriter } from "../src/row-writer.ts";
import { SideBucket } from "../src/side-bucket.ts";
import { Subjects } from "../src/subjects.ts";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { until } from "@k3s/testkit";
import { KinePeer } from "./support/kine-peer.ts";
import { openDriver, quietLog, startNats } from "./support/nats-fixture.ts";
import { nothing, ofKind, row } from "./support/rows.ts";

/** Time enough for a claim that nobody has, and far less than one lasts. */
const LOOK_MS = 300;

function sharedOf(driver: Driver): SharedDatabase {
  assert.ok(driver.shared !== undefined);
  return driver.shared;
}

const ids = (rows: readonly { readonly id: number }[]) => rows.map(({ id }) => id);

describe("commit()", () => {
  test("refuses rows that were planned on another last row, and then writes nothing at all", async (t) => {
    const driver = await openDriver(t, await startNats(t));
    await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b")] });
    const leases = [{ id: 9n, ttlSeconds: 60, expiresAtMs: 1 }];
    const late = { ...nothing, after: 1, rows: [row(2, "/x"), row(3, "/y"), row(4, "/z")], leases };
    await assert.rejects(driver.commit(late), ofKind("conflict"));
    assert.deepEqual(ids(await driver.heads(0, 10)), [1, 2]);
    assert.deepEqual((await driver.side()).leases, []);
  });

  test("writes no row behind a foreign message, not even one whose id is right again", async (t) => {
    const server = await startNats(t);
    const kine = await KinePeer.open(t, server);
    const connection = await connect({ servers: server.endpoint });
    const link = await NatsLink.over({ connection, log: quietLog(), slowMs: 0, shown: "nats" });
    t.after(() => link.close());
    const messages = new Bucket(link, { bucket: "kine", isReplicated: false });
    const publish = messages.publish.bind(messages);
    messages.publish = async (message, options) => {
      if (options.expect?.lastSequence === 1) {
        await until("our first row is there", async () => (await messages.lastSequence()) === 1);
        await kine.create("/kine", "1"); // between it and our second row
      }
      return publish(message, options);
    };
    const codec = new RowMessages(new Subjects("kine"), "test");
    const guard = new HistoryGuard({ link, bucket: "kine", history: 10, owner: "test" });
    const writer = new RowWriter({ messages, codec, link, guard, writer: "test" });
    const rows = [row(1, "/a"), row(2, "/b"), row(3, "/c"), row(4, "/d")];
    await assert.rejects(
      writer.write({ ...nothing, rows }, undefined, { keepOn: () => Promise.resolve(), stored: () => undefined }),
      ofKind("failed"),
    );
    assert.deepEqual(await kine.events(), ["1 create /a", "2 create /kine"]);
  });

  test("is a conflict for a row whose lease has ended, on whatever server", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const lease = { id: 5n, ttlSeconds: 60, expiresAtMs: Date.now() + 60_000 };
    await one.commit({ ...nothing, leases: [lease] });
    await two.commit({ ...nothing, rows: [row(1, "/a", { lease: 5n })] });
    await one.commit({ ...nothing, after: 1, endedLeases: [5n] });
    await assert.rejects(two.commit({ ...nothing, after: 1, rows: [row(2, "/b", { lease: 5n })] }), ofKind("conflict"));
    assert.deepEqual(ids((await sharedOf(two).changes(1, 10)).rows), [2]);
    await assert.rejects(two.commit({ ...nothing, after: 2, rows: [row(3, "/b", { lease: 5n })] }), ofKind("conflict"));
    assert.deepEqual(await sharedOf(two).leases(), []);
    await two.commit({ ...nothing, after: 2, rows: [row(3, "/b")] });
  });

  test("tells leases with the rows they come with, so that a crash between the two loses none", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const lease = { id: 0x7fff_ffff_ffff_ffffn, ttlSeconds: 9_000_000_000, expiresAtMs: 1_800_000_000_000 };
    const rows = [row(1, "/a", { lease: lease.id }), row(2, "/b")];
    await one.commit({ ...nothing, rows, leases: [lease], spans: [{ first: 1, last: 2 }] });
    assert.deepEqual((await sharedOf(two).changes(0, 10)).spans, [{ first: 1, last: 2 }]);
    await one.commit({ ...nothing, after: 2, leases: [{ ...lease, expiresAtMs: 7 }], rowLeases: [[2, 8n]] });
    const side = await two.side();
    assert.deepEqual(side.leases, [{ ...lease, expiresAtMs: 7 }]);
    assert.deepEqual(
      [...side.rowLeases],
      [
        [1, lease.id],
        [2, 8n],
      ],
    );
    assert.deepEqual(side.spans, [{ first: 1, last: 2 }]);
  });

  test("tells another server of a lease with a negative id, and of the transaction that names it", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const leases = [{ id: -5n, ttlSeconds: 60, expiresAtMs: 1_800_000_000_000 }];
    const [rows, spans] = [[row(1, "/a"), row(2, "/b", { lease: -5n })], [{ first: 1, last: 2 }]];
    await one.commit({ ...nothing, leases });
    await one.commit({ ...nothing, rows, spans });
    assert.deepEqual(await two.side(), { leases, rowLeases: new Map([[2, -5n]]), spans });
    assert.deepEqual(ids(await two.heads(0, 10)), [1, 2]);
    assert.deepEqual(await sharedOf(two).leases(), leases);
    const changes = await sharedOf(two).changes(0, 10);
    assert.deepEqual(
      changes.rows.map(({ name, lease, value }) => [name, lease, value?.toString()]),
      [
        ["/a", 0n, "value 1"],
        ["/b", -5n, "value 2"],
      ],
    );
    assert.deepEqual([changes.spans, (await sharedOf(two).position()).lastRow], [spans, 2]);
  });

  test("tells another server of the end of a lease with a negative id, and removes its entry", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const { streams } = await jetstreamManager(connection);
    const entry = () => streams.getMessage("KV_kine-k3s", { last_by_subj: "$KV.kine-k3s.lease.fffffffffffffffb" });
    const leases = [{ id: -5n, ttlSeconds: 60, expiresAtMs: 1_800_000_000_000 }];
    await one.commit({ ...nothing, leases, rowLeases: [[1, -5n]] });
    assert.notEqual(await entry(), null);
    const told = await two.side();
    assert.deepEqual([told.leases, told.rowLeases], [leases, new Map([[1, -5n]])]);
    await two.commit({ ...nothing, endedLeases: [-5n], requiredLeases: [-5n] });
    await two.commit({ ...nothing, after: 1, rows: [row(2, "/a")] }); // behind the removal
    assert.equal(await entry(), null);
    await sharedOf(one).changes(0, 10);
    assert.deepEqual(await sharedOf(one).leases(), []);
  });

  test("keeps none of its own rows for a reader once they are stored, and reads them all the same", async (t) => {
    const forget = t.mock.method(RowTail.prototype, "forget");
    const driver = await openDriver(t, await startNats(t));
    await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b")] });
    await driver.commit({ ...nothing, after: 2, rows: [row(3, "/c")] });
    assert.deepEqual(
      forget.mock.calls.map((call) => call.arguments),
      [[2], [3]],
    );
    assert.deepEqual(ids((await sharedOf(driver).changes(0, 10)).rows), [1, 2, 3]);
  });

  test("moves the compaction marker forward only, on all servers", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    await one.commit({ ...nothing, rows: [row(1, "compact_rev_key"), row(2, "/a")] });
    await one.commit({ ...nothing, compactRevision: 7 });
    await two.commit({ ...nothing, compactRevision: 5 });
    assert.deepEqual(await sharedOf(two).position(), { lastRow: 2, compactRevision: 7 });
    assert.equal((await two.heads(0, 1))[0]?.prevRevision, 7);
    await Promise.all([one, two].map((driver, i) => driver.commit({ ...nothing, compactRevision: 20 + i })));
    assert.equal((await sharedOf(one).position()).compactRevision, 21);
  });

  test("D10 refuses a row that is larger than the server takes, and a name that is too long, without writing", async (t) => {
    const driver = await openDriver(t, await startNats(t));
    const large = row(2, "/large", { value: Buffer.alloc(900_000, "x") });
    await assert.rejects(driver.commit({ ...nothing, rows: [row(1, "/a"), large] }), ofKind("refused"));
    const long = `/${"x".repeat(4000)}`;
    await assert.rejects(driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, long)] }), ofKind("refused"));
    assert.deepEqual([driver.refusal?.(long, 0)?.part, driver.refusal?.("/large", 900_000)?.part], ["name", "value"]);
    assert.equal(driver.refusal?.("/a", 700_000), undefined);
    assert.deepEqual(await driver.heads(0, 10), []);
  });

  test("says that there is no space when the bucket is full", async (t) => {
    const limits =
      "accounts { A { jetstream { max_store: 200KB }, users: [{ user: a, password: b }] } }\nno_auth_user: a";
    const driver = await openDriver(t, await startNats(t, { config: limits }));
    let last = 0;
    const fill = async () => {
      for (; last < 100; last++)
        await driver.commit({
          ...nothing,
          after: last,
          rows: [row(last + 1, `/${last}`, { value: Buffer.alloc(20_000) })],
        });
    };
    await assert.rejects(fill(), ofKind("noSpace"));
    assert.equal((await driver.values([1]))[0]?.length, 20_000);
  });
});

describe("heads() and values()", () => {
  test("go over pages, in order, with values as they were asked for", async (t) => {
    const server = await startNats(t);
    const driver = await openDriver(t, server);
    for (let after = 0; after < 2000; after += 200) {
      const rows = Array.from({ length: 200 }, (_, i) => row(after + i + 1, `/k/${after + i}`));
      await driver.commit({ ...nothing, after, rows });
    }
    const other = await openDriver(t, server);
    await other.side();
    const first = await other.heads(0, 700);
    const second = await other.heads(700, 700);
    const third = await other.heads(1400, 700);
    assert.deepEqual(
      ids([...first, ...second, ...third]),
      Array.from({ length: 2000 }, (_, i) => i + 1),
    );
    assert.deepEqual(ids(await other.heads(1990, 5)), [1991, 1992, 1993, 1994, 1995]);
    const tombstone = row(2001, "/k/1", { created: false, deleted: true, prevRevision: 2, value: undefined });
    await driver.commit({
      ...nothing,
      after: 2000,
      rows: [tombstone, row(2002, "/empty", { value: Buffer.alloc(0) })],
    });
    const values = await other.values([2001, 3, 9999, 2002]);
    assert.deepEqual(
      values.map((value) => value?.toString()),
      ["", "value 3", undefined, ""],
    );
    assert.deepEqual(ids(await other.heads(2000, 10)), [2001, 2002]);
  });
});

describe("claim()", () => {
  test("is given with the compaction that another server has begun, or before it, but not in its midst", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    type Put = (this: SideBucket, revision: number) => Promise<void>;
    const putCompacted: Put = Reflect.get(SideBucket.prototype, "putCompacted");
    t.mock.method(SideBucket.prototype, "putCompacted", async function (this: SideBucket, revision: number) {
      begun.resolve();
      await go.promise;
      await putCompacted.call(this, revision);
    });
    const compaction = two.commit({ ...nothing, compactRevision: 1 });
    await begun.promise;
    const seen = sharedOf(one)
      .claim("servers")
      .then(async (claim) => {
        const { compactRevision } = await sharedOf(one).position();
        await claim.release();
        return compactRevision;
      });
    await Promise.race([seen, sleep(LOOK_MS)]);
    go.resolve();
    await compaction;
    assert.equal(await seen, 1);
  });

  test("keeps the commits of others back until it is released", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const claim = await sharedOf(one).claim("servers");
    await sharedOf(two).leases(); // what is beside the rows has arrived there, the claim too
    // Asked first, it would be the first without the claim.
    const lost = assert.rejects(two.commit({ ...nothing, rows: [row(1, "/two")] }), ofKind("conflict"));
    await one.commit({ ...nothing, rows: [row(1, "/one")] });
    await lost;
    await claim.release();
    await two.commit({ ...nothing, after: 1, rows: [row(2, "/two")] });
  });

  test("is given back by itself, and handed from one to the next", async (t) => {
    const server = await startNats(t);
    const [one, two, three] = [await openDriver(t, server), await openDriver(t, server), await openDriver(t, server)];
    const startedAt = performance.now();
    await sharedOf(one).claim("servers"); // and never used
    await sharedOf(two).leases();
    await two.commit({ ...nothing, rows: [row(1, "/two")] });
    assert.ok(performance.now() - startedAt >= CLAIM_LIMIT_MS - 100);
    const second = await sharedOf(two).claim("servers");
    const third = sharedOf(three).claim("servers");
    await second.release();
    await (await third).release();
    await one.commit({ ...nothing, after: 1, rows: [row(2, "/one")] });
  });
});

describe("onChange()", () => {
  test("tells of others' rows and of kine's, and not of our own", async (t) => {
    const server = await startNats(t);
    const [one, two] = [await openDriver(t, server), await openDriver(t, server)];
    const kine = await KinePeer.open(t, server);
    let told = Promise.withResolvers<void>();
    let own = 0;
    sharedOf(one).onChange(() => own++);
    sharedOf(two).onChange(() => told.resolve());
    await one.commit({ ...nothing, rows: [row(1, "/a")] });
    await told.promise;
    assert.deepEqual(
      (await sharedOf(two).changes(0, 10)).rows.map(({ name, value }) => [name, value?.toString()]),
      [["/a", "value 1"]],
    );
    assert.equal(own, 0);
    told = Promise.withResolvers<void>();
    await kine.create("/kine", "1");
    await told.promise;
    assert.deepEqual(ids((await sharedOf(two).changes(1, 10)).rows), [2]);
    assert.deepEqual((await sharedOf(two).changes(2, 10)).rows, []);
  });
});

describe("close()", () => {
  test("may be called twice, and what comes after is refused", async (t) => {
    const driver = await openDriver(t, await startNats(t));
    await Promise.all([driver.close(), driver.close()]);
    await assert.rejects(driver.heads(0, 1), ofKind("failed"));
    await assert.rejects(driver.commit({ ...nothing, rows: [row(1, "/a")] }), ofKind("failed"));
  });
});
