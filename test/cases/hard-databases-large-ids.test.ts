import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { modEquals, txnOp, type Event } from "@k3s/testkit";
import { endOf } from "./support/bulk.ts";
import { CaseClient } from "./support/case-client.ts";
import { databasesForFile } from "./support/databases.ts";
import { KINE_ROWS, makeKineTable, newestOf } from "./support/databases-generations.ts";
import { KinePeer } from "./support/databases-kine.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import type { SqlSession } from "./support/databases-sql.ts";

/** Where numbers of 32 bits with and without a sign end, and something well beyond both. */
const BORDERS = [2 ** 31, 2 ** 32, 2 ** 33];
const BEFORE = 5;
/** Those whose columns have types; rows of SQLite are in `hard-large-ids`. */
const NAMES = ["MariaDB", "PostgreSQL"] as const;
const PREFIX = "/registry/t/";

const database = databasesForFile(NAMES);

/** The next row of a kine has this id. */
async function moveSequence(session: SqlSession, id: number): Promise<void> {
  if (session.dialect === "postgres") await session.query("SELECT setval('kine_id_seq', ?::bigint, false)", id);
  else await session.query(`ALTER TABLE kine AUTO_INCREMENT = ${id}`);
}

const modsOf = (events: readonly Event[]) => events.map(({ kv }) => kv?.mod ?? 0);

for (const name of NAMES)
  describe(`hard case 37, ids > 2^31 and > 2^32, on ${name}`, () => {
    test(`hard case 37 on ${name}: whatever kine's sequence comes to, nothing is cut short in SQL, in memory or on the wire`, async (t) => {
      await using session = await database(name).sql("large");
      await makeKineTable(session, newestOf(name), KINE_ROWS.slice(0, 12)); // nothing that ends by itself
      const kine = new KinePeer(session);
      await kine.start();
      const served = await ServedDatastore.start(t, database(name).endpoint("large"));
      const made: number[] = [];
      for (const border of BORDERS) {
        await served.stop();
        await moveSequence(session, border - BEFORE);
        assert.equal(await kine.create(`${PREFIX}kine/${border}`, "kine"), border - BEFORE);
        await served.restart();
        const client = new CaseClient(t, served.target);
        const watch = client.watch();
        await watch.create({ key: `${PREFIX}a` });
        const expected = Array.from({ length: 2 * BEFORE }, (_, i) => border - BEFORE + 1 + i);
        for (const revision of expected) {
          assert.equal((await client.put({ key: `${PREFIX}a`, value: String(revision) })).header.revision, revision);
          made.push(revision);
        }
        assert.deepEqual(modsOf(await watch.events(expected.length)), expected);
        assert.equal((await client.range({ key: `${PREFIX}kine/${border}` })).kvs[0]?.mod, border - BEFORE);
      }
      const rows = await session.query(
        "SELECT id, create_revision, prev_revision FROM kine WHERE name = ? ORDER BY id",
        `${PREFIX}a`,
      );
      const [first = 0] = made;
      const numbers = rows.map((row) => row.map(Number));
      assert.deepEqual(
        numbers,
        made.map((id, i) => [id, i === 0 ? 0 : first, made[i - 1] ?? 0]),
      );

      await served.stop();
      await served.restart();
      const client = new CaseClient(t, served.target);
      const last = made.at(-1) ?? 0;
      const update = { compare: [modEquals(`${PREFIX}a`, last)], success: [txnOp.put({ key: `${PREFIX}b` })] };
      const stale = { ...update, compare: [modEquals(`${PREFIX}a`, last % 2 ** 32)] };
      assert.equal((await client.txn(stale)).succeeded ?? false, false);
      assert.equal((await client.txn(update)).succeeded, true);
      const old = await client.range({ key: `${PREFIX}a`, revision: made[3] ?? 0 });
      assert.deepEqual([old.kvs[0]?.mod, old.kvs[0]?.create, old.header.revision], [made[3], first, last + 1]);
      const replay = client.watch();
      await replay.create({ key: `${PREFIX}a`, start: first });
      assert.deepEqual(modsOf(await replay.events(made.length)), made);
      await client.compact(last);
      await assert.rejects(client.range({ key: `${PREFIX}a`, revision: last - 1 }), { code: 11 });
      assert.equal((await client.range({ key: `${PREFIX}a` })).kvs[0]?.create, first);
      const { kvs } = await client.range({ key: PREFIX, end: endOf(PREFIX) });
      const dump = await kine.list(PREFIX, endOf(PREFIX));
      assert.deepEqual(
        dump.map((kv) => [kv.name, kv.revision]),
        kvs.map(({ key, mod }) => [key, mod]),
        "kine reads the same",
      );
      assert.equal((await kine.revisions()).compacted, last);
    });
  });
