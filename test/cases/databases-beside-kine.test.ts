import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn, sleep } from "@k3s/async";
import { databasesForFile } from "./support/databases.ts";
import { makeKineTable, newestOf } from "./support/databases-generations.ts";
import { KinePeer } from "./support/databases-kine.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { ask, Follower, lines, list, REGISTRY, remove, succeed, write } from "./support/databases-wire.ts";

const KEYS = 60;
const ROUNDS = 20;
/** Longer than a look at the file's locks holds: who opened it a moment ago may not have been seen. */
const ARRIVAL_MS = 50;

const database = databasesForFile(["SQLite"]);

/** Two who use one file, in the order in which they come; the later one finds the other at work. */
describe("O9 mixed with a running kine on SQLite", () => {
  for (const first of ["kine", "we"] as const)
    test(`O9 mixed with a running kine on SQLite, ${first} first: one of two wins, all is told once and in order`, async (t) => {
      const data = `beside_${first}`;
      await using session = await database("SQLite").sql(data);
      await session.query("PRAGMA journal_mode = WAL"); // as kine opens it
      const kine = new KinePeer(session);
      if (first === "kine") {
        await makeKineTable(session, newestOf("SQLite"), []);
        await kine.start();
      }
      const served = await ServedDatastore.start(t, database("SQLite").endpoint(data));
      assert.equal(served.log.includes("another program has the datastore open"), first === "kine", served.log);
      if (first === "we") await kine.start();
      const connection = served.connect(t);
      const { revision } = await list(connection);
      const follower = Follower.start(t, { target: served.target, startRevision: revision + 1 });

      const keys = Array.from({ length: KEYS }, (_, i) => `/registry/both/${i}`);
      const winners = new Map<string, string>();
      const ours = Promise.all(
        keys.map(async (key) => {
          if ((await ask(connection, write(key, 0, "ours"))).succeeded) winners.set(key, "ours");
        }),
      );
      const wonByKine: string[] = [];
      for (const key of keys.toReversed()) {
        if ((await kine.create(key, "kine")) !== undefined) wonByKine.push(key);
        await nextTurn(); // its session is synchronous
      }
      await ours;
      for (const key of wonByKine) assert.equal(winners.get(key), undefined, `both made ${key}`);
      for (const key of wonByKine) winners.set(key, "kine");
      assert.equal(winners.size, KEYS);

      const late = (await kine.create("/registry/late", "kine")) ?? 0;
      await follower.reached(late);
      const last = await succeed(connection, write("/registry/last", 0, "ours"));
      assert.equal(last, late + 1);
      const now = await list(connection, REGISTRY);
      const dump = await kine.list(REGISTRY.key, REGISTRY.end);
      assert.deepEqual(
        lines(now.kvs),
        dump.map((kv) => `${kv.name}=${kv.value}@${kv.revision}`),
      );
      for (const [key, value] of winners) assert.equal(now.kvs.find((kv) => kv.key === key)?.value, value, key);
      await follower.reached(last);
      const told = follower.events.map(({ kv }) => kv.mod);
      assert.deepEqual(
        told,
        Array.from({ length: last - revision }, (_, i) => revision + 1 + i),
      );
      const replay = (await kine.after(revision)).map((event) => `${event.revision} put ${event.name}=${event.value}`);
      assert.deepEqual(follower.lines, replay);
      assert.equal(await served.stop(), 0, served.log);
    });

  test("O9 mixed with a running kine on SQLite: what it writes, deletes and compacts is true at once for reads and writes of ours", async (t) => {
    const data = "beside_at_once";
    const served = await ServedDatastore.start(t, database("SQLite").endpoint(data));
    const connection = served.connect(t);
    await list(connection);
    await using session = await database("SQLite").sql(data);
    const kine = new KinePeer(session);
    await kine.start();
    await sleep(ARRIVAL_MS);
    const shown = async () => lines((await list(connection, REGISTRY)).kvs).filter((line) => line.includes("late"));
    for (let round = 0; round < ROUNDS; round++) {
      const put = (await kine.create("/registry/late", "kine")) ?? 0;
      assert.deepEqual(await shown(), [`/registry/late=kine@${put}`]);
      const end = (await kine.delete("/registry/late", put)) ?? 0;
      assert.equal((await ask(connection, write("/registry/late", put, "ours"))).succeeded, false);
      assert.deepEqual(await shown(), []);
      await succeed(connection, write("/registry/newest", 0, "ours"));
      await kine.compact(end);
      const past = await connection.perform({ kind: "range", ...REGISTRY, revision: put });
      assert.equal(past.kind === "refused" ? past.reason : past.kind, "compacted");
      await succeed(connection, remove("/registry/newest", end + 1));
    }
    assert.equal(await served.stop(), 0, served.log);
  });
});
