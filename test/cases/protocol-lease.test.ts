import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeInto } from "@k3s/etcd-api";
import { int64Message, until } from "@k3s/testkit";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { COMPACTED, FUTURE, refuses } from "./support/expect.ts";

const UNKNOWN_LEASE = "etcdserver: requested lease not found";

/** Ids of LeaseLeases. */
async function leaseIds(client: CaseClient): Promise<bigint[]> {
  const ids: bigint[] = [];
  decodeInto(ids, await client.raw.call("/etcdserverpb.Lease/LeaseLeases", Buffer.alloc(0)), {
    2: (_, r) => decodeInto(ids, r.bytes(), { 1: (to, status) => to.push(status.bigint64()) }),
  });
  return ids;
}

onEachServer((start) => {
  test("P36 Compact: errors, the answer's revision, and what stays", async (t) => {
    const { client, key } = await start(t);
    const put = async (name: string, value: string) => (await client.put({ key: key(name), value })).header.revision;
    await put("a", "1");
    const second = await put("a", "2");
    await put("b", "1");
    const deleted = await client.delete({ key: key("b") });
    const border = deleted.header.revision;
    const last = await put("a", "3");
    assert.equal((await client.compact(border, true)).header.revision, last);
    await refuses(client.compact(border), "OUT_OF_RANGE", COMPACTED);
    await refuses(client.compact(second), "OUT_OF_RANGE", COMPACTED);
    await refuses(client.compact(last + 1), "OUT_OF_RANGE", FUTURE);
    const at = async (revision: number) => (await client.range({ key: key(), end: key("\xff"), revision })).kvs;
    await refuses(at(border - 1), "OUT_OF_RANGE", COMPACTED);
    const [kept] = await at(border);
    assert.deepEqual([(await at(border)).length, kept?.value, kept?.mod, kept?.version], [1, "2", second, 2]);
    assert.deepEqual(
      (await at(last)).map(({ value, version }) => [value, version]),
      [["3", 3]],
    );
    assert.equal((await client.compact(last)).header.revision, last);
    assert.equal(await client.revision(), last);
  });

  test("P37 LeaseGrant: ids are unique, the TTL is echoed, impossible ones are refused", async (t) => {
    const { client } = await start(t);
    const leases = await Promise.all(Array.from({ length: 50 }, (_, i) => client.grant(60 + i)));
    assert.equal(new Set(leases.map(({ id }) => id)).size, 50);
    for (const [i, { id, ttl }] of leases.entries()) {
      assert.ok(id > 0n && id < 1n << 63n);
      assert.equal(ttl, 60 + i);
    }
    const chosen = (1n << 62n) + 12_345n;
    assert.equal((await client.grant(100, chosen)).id, chosen);
    await refuses(client.grant(100, chosen), "FAILED_PRECONDITION", "etcdserver: lease already exists");
    await refuses(client.grant(9_000_000_001), "OUT_OF_RANGE", "etcdserver: too large lease TTL");
    assert.equal((await client.grant(9_000_000_000)).ttl, 9_000_000_000);
    const short = await client.grant(1);
    assert.equal(short.ttl, 2); // raised to what an election may take
  });

  test("P37 LeaseLeases lists first what ends first", async (t) => {
    const { client } = await start(t);
    const granted = [await client.grant(5000), await client.grant(1000), await client.grant(3000)].map(({ id }) => id);
    const listed = (await leaseIds(client)).filter((id) => granted.includes(id));
    assert.deepEqual(listed, [granted[1], granted[2], granted[0]]);
  });

  test("P38 put with an unknown lease: not found, nothing is written", async (t) => {
    const { client, key } = await start(t);
    const before = await client.revision();
    await refuses(client.put({ key: key("a"), lease: 4711n }), "NOT_FOUND", UNKNOWN_LEASE);
    const { id } = await client.grant(60);
    await client.revoke(id);
    await refuses(client.put({ key: key("a"), lease: id }), "NOT_FOUND", UNKNOWN_LEASE);
    assert.equal(await client.revision(), before);
    assert.deepEqual((await client.range({ key: key("a") })).kvs, []);
  });

  test("P39 expiry: all keys of the lease go, as one group of events", async (t) => {
    const { client, differs, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key(), end: key("\xff") });
    const { id } = await client.grant(2);
    for (const name of ["a", "b", "c"]) await client.put({ key: key(name), value: name, lease: id });
    await client.put({ key: key("b"), value: "detached" });
    const { header } = await client.put({ key: key("d"), value: "d", lease: id });
    await watch.events(5);
    const { events } = await watch.take("events");
    const revision = header.revision + (differs("revision per write") ? 3 : 1);
    assert.deepEqual(
      events.map(({ type, kv }) => [type, kv?.key, kv?.mod]).sort(),
      ["a", "c", "d"].map((name) => ["delete", key(name), revision]),
    );
    assert.deepEqual(
      (await client.range({ key: key(), end: key("\xff") })).kvs.map(({ value }) => value),
      ["detached"],
    );
    assert.equal((await client.timeToLive(id)).ttl, -1);
    await refuses(client.put({ key: key("a"), lease: id }), "NOT_FOUND", UNKNOWN_LEASE);
  });

  test("P40 revoke, keepalive, timetolive, leases: as etcd", async (t) => {
    const { client, differs, key } = await start(t);
    const { id } = await client.grant(60);
    for (const name of ["b", "a"]) await client.put({ key: key(name), lease: id });
    await client.put({ key: key("c"), lease: id });
    const { header } = await client.put({ key: key("c") });

    const told = await client.timeToLive(id, true);
    assert.deepEqual([told.id, told.granted, told.keys.sort()], [id, 60, [key("a"), key("b")]]);
    assert.ok(told.ttl > 0 && told.ttl <= 60);
    assert.deepEqual((await client.timeToLive(id)).keys, []);
    const unknown = await client.timeToLive(4711n, true);
    assert.deepEqual([unknown.id, unknown.ttl, unknown.granted, unknown.keys], [4711n, -1, 0, []]);
    assert.deepEqual([(await client.keepAlive(id)).ttl, (await client.keepAlive(4711n)).ttl], [60, 0]);

    const other = await client.grant(60);
    const ids = await leaseIds(client);
    assert.ok(ids.includes(id) && ids.includes(other.id));
    const revoked = await client.revoke(id);
    assert.equal(revoked.header.revision, header.revision + (differs("revision per write") ? 2 : 1));
    assert.deepEqual(
      (await client.range({ key: key(), end: key("\xff") })).kvs.map((kv) => kv.key),
      [key("c")],
    );
    await refuses(client.revoke(id), "NOT_FOUND", UNKNOWN_LEASE);
    assert.equal((await client.revoke(other.id)).header.revision, revoked.header.revision);
    assert.equal((await leaseIds(client)).includes(id), false);
  });

  test("P40 keepalive: a lease lives as long as it is renewed, on one stream", async (t) => {
    const { client, key } = await start(t);
    const { id } = await client.grant(2);
    await client.put({ key: key("a"), lease: id });
    const stream = client.raw.stream(t, "/etcdserverpb.Lease/LeaseKeepAlive");
    const other = await client.grant(2);
    await client.put({ key: key("b"), lease: other.id });
    await until("the lease that nobody renews has ended", async () => {
      stream.send(int64Message({ 1: id }));
      await stream.take();
      return ((await client.range({ key: key("b") })).count ?? 0) === 0;
    });
    assert.equal((await client.range({ key: key("a") })).count, 1);
  });
});
