import assert from "node:assert/strict";
import { test } from "node:test";
import { readAnswer, txnOp, type Header } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";

function assertSameServer(headers: readonly (Header | undefined)[]): void {
  const [first] = headers;
  assert.ok(first !== undefined && first.clusterId > 0n && first.memberId > 0n && first.raftTerm > 0);
  for (const [index, header] of headers.entries()) {
    assert.ok(header !== undefined && header.revision > 0, `answer ${index} has no revision`);
    assert.deepEqual([header.clusterId, header.memberId], [first.clusterId, first.memberId], `answer ${index}`);
    assert.ok(header.raftTerm >= first.raftTerm, `answer ${index} has an older term`); // a restart may raise it
  }
}

onEachServer((start) => {
  test("P2 header on all responses: cluster, member and term are there and stay the same", async (t) => {
    const { client, connect, differs, key, server } = await start(t, {});
    const headers: (Header | undefined)[] = [];
    const take = (answer: { readonly header?: Header }) => headers.push(answer.header);
    take(await client.put({ key: key("a") }));
    take(await client.range({ key: key("a") }));
    take(await client.txn({ compare: [], success: [] }));
    take(await client.delete({ key: key("a") }));
    take(await client.compact((await client.revision()) - 1));
    const lease = await client.grant(60);
    take(lease);
    take(await client.keepAlive(lease.id));
    take(await client.timeToLive(lease.id));
    take(readAnswer.header(await client.raw.call("/etcdserverpb.Lease/LeaseLeases", Buffer.alloc(0))));
    take(await client.revoke(lease.id));
    const bare = ["Maintenance/Defragment", "Cluster/MemberList"];
    for (const method of [
      ...["Maintenance/Status", "Maintenance/Alarm"],
      ...(differs("headers left empty") ? [] : bare),
    ])
      take(readAnswer.header(await client.raw.call(`/etcdserverpb.${method}`, Buffer.alloc(0))));
    const quiet = client.watch();
    take(await quiet.create({ key: key("b"), progress: true }));
    take(await quiet.take("progress"));
    const watch = client.watch();
    take(await watch.create({ key: key("b") }));
    await client.put({ key: key("b") });
    take(await watch.take("events"));
    watch.cancel(0);
    take(await watch.take("canceled"));
    await server.restart("SIGTERM");
    take(await connect().range({ key: key("a") }));

    assertSameServer(headers);
  });

  test("P3 header.revision: current on historic reads", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a"), value: "old" });
    for (let i = 0; i < 8; i++) await client.put({ key: key("a"), value: `${i}` });
    const old = await client.range({ key: key("a"), revision: header.revision });
    assert.deepEqual([old.kvs[0]?.value, old.header.revision], ["old", header.revision + 8]);
    const nested = await client.txn({ success: [txnOp.range({ key: key("a"), revision: header.revision })] });
    assert.deepEqual(nested.responses[0]?.kvs[0]?.value, "old");
    assert.equal(nested.responses[0]?.header?.revision, header.revision + 8);
  });

  test("P4 empty store: revision 1, and the first write makes 2", async (t) => {
    const { client, connect, server } = await start(t, {});
    const empty = await client.range({ key: "\0", end: "\0" });
    assert.deepEqual([empty.header.revision, empty.count ?? 0], [1, 0]);
    const missing = await client.range({ key: "/registry/health" });
    assert.deepEqual([missing.header.revision, missing.kvs], [1, []]);
    assert.equal((await client.watch().create({ key: "/a" })).header?.revision, 1);
    assert.equal((await client.delete({ key: "/a" })).header.revision, 1);
    const { header } = await client.put({ key: "/a", value: "1" });
    assert.equal(header.revision, 2);
    const { kvs } = await client.range({ key: "/a" });
    assert.deepEqual([kvs[0]?.create, kvs[0]?.mod, kvs[0]?.version], [2, 2, 1]);
    await server.restart("SIGTERM");
    assert.equal(await connect().revision(), 2);
  });
});
