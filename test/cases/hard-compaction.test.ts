import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, txnOp } from "@k3s/testkit";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";

const COMPACT_KEY = "compact_rev_key";
const ROUNDS = 5;

/** One kube-apiserver's turn at the key by which they agree who compacts. */
async function compete(client: CaseClient, version: number, revision: number) {
  return client.txn({
    compare: [compare({ key: COMPACT_KEY, target: "version", value: version })],
    success: [txnOp.put({ key: COMPACT_KEY, value: String(revision) })],
    failure: [txnOp.range({ key: COMPACT_KEY })],
  });
}

onEachServer((start) => {
  test("hard case 29, compaction CAS: one winner per round, the loser learns from it, a watch sees the values", async (t) => {
    const { client, connect, key } = await start(t, {});
    const watch = client.watch();
    await watch.create({ key: COMPACT_KEY });
    const servers = [connect(), connect()];
    const values: string[] = [];
    for (let version = 0; version < ROUNDS; version++) {
      const { revision } = (await client.put({ key: key("a") })).header;
      const answers = await Promise.all(servers.map((server) => compete(server, version, revision)));
      const [winner, ...more] = answers.filter(({ succeeded }) => succeeded);
      assert.deepEqual(more, []);
      const loser = answers.find((answer) => answer !== winner)?.responses[0]?.kvs[0];
      values.push(String(revision));
      assert.partialDeepStrictEqual(loser, { key: COMPACT_KEY, version: version + 1, value: String(revision) });
      assert.equal(loser?.mod, winner?.header.revision);
      await client.compact(revision);
    }
    const late = await compete(client, 0, 1);
    assert.equal(late.succeeded ?? false, false);
    assert.partialDeepStrictEqual(late.responses[0]?.kvs[0], { version: ROUNDS, value: values.at(-1) });
    const events = await watch.events(ROUNDS);
    assert.deepEqual(
      events.map((event) => [event.type, event.kv?.value, event.kv?.version]),
      values.map((value, i) => ["put", value, i + 1]),
    );
  });
});
