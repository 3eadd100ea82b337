import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachServer } from "./support/each-server.ts";

onEachServer((start) => {
  test("P2 header: cluster, member and term are there and stay the same", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a") });
    assert.ok(header.clusterId > 0n && header.memberId > 0n && header.raftTerm > 0 && header.revision > 1);
    const stream = client.watch();
    const created = await stream.create({ key: key("a") });
    assert.deepEqual(created.header, header);
  });
});
