import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import type { Connection } from "../consistency/wire/connection.ts";
import { databasesForFile, SQL_DATABASES } from "./support/databases.ts";
import { GENERATIONS, makeKineTable } from "./support/databases-generations.ts";
import { KinePeer, type KineEvent } from "./support/databases-kine.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { ask, Follower, lines, list, REGISTRY, remove, succeed, write } from "./support/databases-wire.ts";

/** Old kines leave names in the collation of the database: in PostgreSQL here it is that of English, not the order of bytes. */
const database = databasesForFile(SQL_DATABASES, () => Promise.resolve({ postgresLocale: "en-US" }));

/** A kine on the data, started. It ends with the test at the latest. */
async function startKine(
  t: TestContext,
  open: () => ReturnType<ReturnType<typeof database>["sql"]>,
): Promise<KinePeer> {
  const session = await open();
  t.after(() => session[Symbol.asyncDispose]());
  const kine = new KinePeer(session);
  await kine.start();
  return kine;
}

/** As {@link Follower.lines} has the same events. */
function linesOfKine(events: readonly KineEvent[]): string[] {
  return events.map(({ revision, kind, name, value, prevValue, prevRevision }) => {
    const before = kind === "create" ? "" : ` was ${prevValue}@${prevRevision}`;
    const type = kind === "delete" ? "delete" : "put";
    return `${revision} ${type} ${name}=${kind === "delete" ? "" : value}${before}`;
  });
}

const OLD_EVENTS = [
  "3 put /registry/a=a1",
  "4 put /registry/a=a2 was a1@3",
  "6 put /registry/old-delete=d1",
  "7 delete /registry/old-delete= was d1@6",
  "8 put /registry/new-delete=n1",
  "9 delete /registry/new-delete= was n1@8",
  "10 put /registry/old-delete=d2",
];

const OLD_KEYS = [
  "/registry/a=a2@4",
  "/registry/empty=@15",
  '/registry/health={"health":"true"}@2',
  "/registry/old-delete=d2@10",
  "/registry/ttl=t@13",
];

/** Everything that the API server does to keys, on those of kine. */
async function writeAsApiServer(connection: Connection): Promise<void> {
  await succeed(connection, write("/registry/a", 4, "a3"));
  await succeed(connection, remove("/registry/old-delete", 10));
  const again = await succeed(connection, write("/registry/new-delete", 0, "n2"));
  await succeed(connection, write("/registry/new-delete", again, "n3"));
  const own = await succeed(connection, write("/registry/own", 0, "o1"));
  await succeed(connection, remove("/registry/own", own));
}

const isShort = (line: string) => !line.includes("/registry/short") && !line.includes("compact_rev_key");

for (const name of SQL_DATABASES) {
  describe(`hard case 35, kine to us and back, on ${name}`, { concurrency: 2 }, () => {
    for (const [index, generation] of GENERATIONS[name].entries()) {
      test(`hard case 35 (D1, D5) ${generation.name}: reads, watches, TTL and compaction, on both sides`, async (t) => {
        const data = `handover${index}`;
        const open = () => database(name).sql(data);
        {
          await using session = await open();
          await makeKineTable(session, generation);
          if (name === "PostgreSQL")
            assert.equal((await session.query("SELECT 1 WHERE 'a' < 'B'")).length, 1, "by bytes");
        }
        const served = await ServedDatastore.start(t, database(name).endpoint(data));
        const connection = served.connect(t);
        const short = (await list(connection, { key: "/registry/short", end: "" })).kvs[0];
        assert.deepEqual(lines((await list(connection, REGISTRY)).kvs).filter(isShort), OLD_KEYS);
        assert.deepEqual(
          (await list(connection, { ...REGISTRY, revision: 8 })).kvs.map(({ key }) => key),
          ["/registry/a", "/registry/health", "/registry/new-delete"],
        );
        const follower = Follower.start(t, { target: served.target, startRevision: 3 });
        await writeAsApiServer(connection);
        assert.ok(short === undefined || short.lease !== 0);
        await until("kine's short-lived key has ended", async () => {
          return (await list(connection, { key: "/registry/short", end: "" })).count === 0;
        });
        const ours = await list(connection, REGISTRY);
        await follower.reached(ours.revision);
        const told = follower.lines.filter(isShort);
        assert.deepEqual(told.slice(0, OLD_EVENTS.length), OLD_EVENTS);
        assert.equal(await served.stop(), 0, served.log);

        // back to kine
        const kine = await startKine(t, open);
        const dump = await kine.list(REGISTRY.key, REGISTRY.end);
        assert.deepEqual(
          dump.map(({ name: key, value, revision }) => `${key}=${value}@${revision}`),
          lines(ours.kvs),
        );
        assert.deepEqual(
          dump.map(({ createRevision }) => createRevision),
          ours.kvs.map(({ create }) => create),
        );
        assert.equal(await kine.count(REGISTRY.key, REGISTRY.end), ours.count);
        const replay = linesOfKine(await kine.after(2)).filter(isShort);
        assert.deepEqual(replay, told);
        assert.ok((await kine.after(15)).every(({ lease }) => lease === 0));
        const ttl = (await kine.after(2)).find(({ name: key }) => key === "/registry/ttl");
        assert.equal(ttl?.lease, 3600);

        const before = await kine.revisions();
        const a =
          (await kine.update({ name: "/registry/a", value: "kine", revision: ours.kvs[0]?.mod ?? 0 })) ?? assert.fail();
        assert.equal(a, before.current + 1);
        assert.ok(await kine.create("/registry/own", "kine"));
        assert.ok(await kine.delete("/registry/empty", 15));
        assert.equal(await kine.update({ name: "/registry/a", value: "late", revision: a - 1 }), undefined);
        const border = before.current;
        const atBorder = await kine.list(REGISTRY.key, REGISTRY.end, border);
        await kine.compact(border);
        assert.deepEqual(await kine.list(REGISTRY.key, REGISTRY.end, border), atBorder);

        // and to us again
        await served.restart();
        const again = served.connect(t);
        const now = await list(again, REGISTRY);
        assert.deepEqual(
          lines(now.kvs),
          (await kine.list(REGISTRY.key, REGISTRY.end)).map((kv) => `${kv.name}=${kv.value}@${kv.revision}`),
        );
        const pinned = await list(again, { ...REGISTRY, revision: border });
        assert.deepEqual(lines(pinned.kvs), lines(ours.kvs));
        const gone = await again.perform({ ...REGISTRY, kind: "range", revision: border - 1 });
        assert.equal(gone.kind === "refused" && gone.reason, "compacted");
        const resumed = Follower.start(t, { target: served.target, startRevision: border + 1 });
        await resumed.reached(now.revision);
        assert.deepEqual(resumed.lines, [
          `${a} put /registry/a=kine was a3@16`,
          `${a + 1} put /registry/own=kine`,
          `${a + 2} delete /registry/empty= was @15`,
        ]);
        const last = await succeed(again, write("/registry/last", 0, "l"));
        await ask(again, { kind: "compact", revision: last });
        await until("what was replaced is removed, the marker is kept", async () => {
          await using session = await open();
          const rows = await session.query("SELECT id, name FROM kine ORDER BY id");
          const live = (await list(again)).kvs.map(({ mod }) => mod);
          return rows.map(([id]) => id).join() === [1, ...live].sort((x, y) => x - y).join();
        });
        assert.equal((await kine.revisions()).compacted, last);
        assert.equal((await kine.list(REGISTRY.key, REGISTRY.end)).length, now.count + 1);
      });
    }
  });
}
