import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { DATABASES, databasesForFile, type DatabaseName } from "./support/databases.ts";
import { KinePeer } from "./support/databases-kine.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { Follower, list, REGISTRY, succeed, write } from "./support/databases-wire.ts";

const database = databasesForFile(DATABASES);

/** All rows of kine's table, as a peer of ours finds them. */
async function rowsOf(name: DatabaseName, data: string): Promise<string[]> {
  await using session = await database(name).sql(data);
  const rows = await session.query("SELECT id, name FROM kine ORDER BY id");
  return rows.map(([id, key]) => `${Number(id)} ${String(key)}`);
}

async function startKine(t: TestContext, name: DatabaseName, data: string): Promise<KinePeer> {
  const session = await database(name).sql(data);
  t.after(() => session[Symbol.asyncDispose]());
  const kine = new KinePeer(session);
  await kine.start();
  return kine;
}

async function assertFresh(t: TestContext, name: DatabaseName, transport: string): Promise<void> {
  const data = `fresh_${transport.replace("-", "")}`;
  const served = await ServedDatastore.start(t, database(name).endpoint(data), {
    args: [`--datastore-transport=${transport}`],
  });
  const connection = served.connect(t);
  const empty = await list(connection);
  assert.deepEqual([empty.revision, empty.kvs, empty.count], [1, [], 0]);
  const health = await list(connection, { key: "/registry/health", end: "" });
  assert.deepEqual([health.revision, health.kvs], [1, []]);
  if (database(name).isSql) assert.deepEqual(await rowsOf(name, data), ["1 compact_rev_key"]);
  await served.stop();
  await served.restart();
  const again = served.connect(t);
  assert.equal((await list(again)).revision, 1);
  assert.equal(await succeed(again, write("/registry/t/a", 0, "1")), 2);
  const { kvs } = await list(again);
  assert.deepEqual(
    kvs.map(({ key, create, mod }) => [key, create, mod]),
    [["/registry/t/a", 2, 2]],
  );
}

for (const name of DATABASES)
  describe(`k3s datastore serve on an empty ${name}`, () => {
    const transports = name === "SQLite" ? (["http2", "grpc-js"] as const) : (["http2"] as const);
    for (const transport of transports)
      test(`P4 empty store, hard case 2, fresh revision: 1, its first key makes it 2, also after a restart, over ${transport}`, (t) =>
        assertFresh(t, name, transport));

    test("P4 kine adds its health key to such a table as an ordinary write, and watches tell it", async (t) => {
      if (!database(name).isSql) return; // its rows are written by nobody else here: see kine-handover of its driver
      const served = await ServedDatastore.start(t, database(name).endpoint("kine"));
      const follower = Follower.start(t, { target: served.target, startRevision: 1 });
      await succeed(served.connect(t), write("/registry/t/a", 0, "1"));
      if (name === "SQLite") await served.stop(); // it lets nobody else write
      const kine = await startKine(t, name, "kine");
      assert.deepEqual(await rowsOf(name, "kine"), ["1 compact_rev_key", "2 /registry/t/a", "3 /registry/health"]);
      assert.equal((await kine.list(REGISTRY.key, REGISTRY.end)).length, 2);
      if (name === "SQLite") await served.restart();
      await follower.reached(3);
      assert.deepEqual(follower.lines, ["2 put /registry/t/a=1", '3 put /registry/health={"health":"true"}']);
      assert.equal(await succeed(served.connect(t), write("/registry/t/b", 0, "2")), 4);
    });
  });
