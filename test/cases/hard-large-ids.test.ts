import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { modEquals, txnOp, type Event } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";

/** Where numbers of 32 bits with and without a sign end, and something well beyond both. */
const BORDERS = [2 ** 31, 2 ** 32, 2 ** 33];
const BEFORE = 5;

const revisions = (events: readonly Event[]) => events.map(({ kv }) => kv?.mod);

/** Writes a row with an id of its own, as another program does whose sequence was moved. */
function jump(folder: string, id: number): void {
  using database = new DatabaseSync(join(folder, "state.db"), { timeout: 10_000 });
  database
    .prepare(
      `INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value)
       VALUES (?, ?, 1, 0, 0, 0, 0, ?)`,
    )
    .run(id, `/jump/${id}`, Buffer.from("jump"));
}

onEachServer(
  (start) => {
    test("hard case 37, ids > 2^31 and > 2^32: nothing is cut short on the wire, in memory or in the table", async (t) => {
      const { server, key, connect } = await start(t, {});
      let client = connect();
      const made: number[] = [];
      for (const border of BORDERS) {
        jump(server.folder, border - BEFORE);
        await server.restart("SIGKILL");
        client = connect();
        const watch = client.watch();
        await watch.create({ key: key("a") });
        for (let i = 1; i <= 2 * BEFORE; i++)
          made.push((await client.put({ key: key("a"), value: String(i) })).header.revision);
        const expected = Array.from({ length: 2 * BEFORE }, (_, i) => border - BEFORE + 1 + i);
        assert.deepEqual(made.slice(-2 * BEFORE), expected);
        assert.deepEqual(revisions(await watch.events(2 * BEFORE)), expected);
        assert.equal((await client.range({ key: `/jump/${border - BEFORE}` })).kvs[0]?.mod, border - BEFORE);
      }
      const last = made.at(-1) ?? 0;
      const update = { compare: [modEquals(key("a"), last)], success: [txnOp.put({ key: key("b") })] };
      assert.equal((await client.txn(update)).succeeded, true);
      const stale = { ...update, compare: [modEquals(key("a"), last % 2 ** 32)] };
      assert.equal((await client.txn(stale)).succeeded ?? false, false);

      await server.restart("SIGKILL");
      const later = connect();
      const [first = 0] = made;
      const old = await later.range({ key: key("a"), revision: made[3] ?? 0 });
      assert.deepEqual([old.kvs[0]?.value, old.kvs[0]?.mod, old.kvs[0]?.create], ["4", made[3], first]);
      assert.equal(old.header.revision, last + 1);
      const all = later.watch();
      await all.create({ key: key("a"), start: first });
      assert.deepEqual(revisions(await all.events(made.length)), made);
      await later.compact(last);
      await assert.rejects(later.range({ key: key("a"), revision: last - 1 }), { code: 11 });
      const replay = later.watch();
      await replay.create({ key: key(), end: key("z"), start: last });
      assert.deepEqual(revisions(await replay.events(2)), [last, last + 1]);
      assert.equal((await later.range({ key: key("a") })).kvs[0]?.create, first);
    });
  },
  ["http2", "grpc-js"], // the revision of an etcd cannot be moved
);
