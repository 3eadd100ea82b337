import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import type { TxnRequest } from "../consistency/history/operation.ts";
import { DATABASES, databasesForFile, SQL_DATABASES, type DatabaseName } from "./support/databases.ts";
import { insertRow, KINE_ROWS, makeKineTable, newestOf } from "./support/databases-generations.ts";
import { KinePeer } from "./support/databases-kine.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { ask, EVERYTHING, Follower, lines, list, REGISTRY, remove, succeed, write } from "./support/databases-wire.ts";

const LEASE_MAX = 2 ** 31 - 1;
const COMPACT = { key: "compact_rev_key", end: "" } as const;

const database = databasesForFile(DATABASES);

function serve(t: TestContext, name: DatabaseName, data: string): Promise<ServedDatastore> {
  return ServedDatastore.start(t, database(name).endpoint(data));
}

/** The compaction lock of the API server. */
function lock(version: number, value: string): TxnRequest {
  const compare = { ...COMPACT, result: "equal", target: { field: "version", value: version } } as const;
  const put = { kind: "put", key: COMPACT.key, value } as const;
  return { kind: "txn", compare: [compare], success: [put], failure: [{ ...COMPACT, kind: "range" }] };
}

for (const name of SQL_DATABASES) {
  describe(`kine's table in ${name}`, () => {
    test(`D6 gap rows and holes tolerated in ${name}: hidden from reads and watches, and none of our own`, async (t) => {
      {
        await using session = await database(name).sql("gaps");
        const rows = KINE_ROWS.filter(([id]) => Number(id) <= 6);
        await makeKineTable(session, newestOf(name), rows);
        await insertRow(session, [7, "gap-7", 0, 1, 0, 0, 0, null, null]);
        await insertRow(session, [10, "/registry/b", 1, 0, 0, 0, 0, Buffer.from("b"), null]); // nobody wrote 8 and 9
        if (name === "PostgreSQL") await session.query("SELECT setval('kine_id_seq', 10)");
      }
      const served = await serve(t, name, "gaps");
      const connection = served.connect(t);
      const follower = Follower.start(t, { target: served.target, startRevision: 3 });
      const before = await list(connection);
      assert.deepEqual(lines(before.kvs), [
        "/registry/a=a2@4",
        "/registry/b=b@10",
        '/registry/health={"health":"true"}@2',
        "/registry/old-delete=d1@6",
      ]);
      assert.equal(before.revision, 10);
      // Every second one is a conflict, and all are on their way at once.
      const attempts = Array.from({ length: 60 }, (_, i) =>
        ask(connection, write(`/registry/c${i >> 1}`, 0, String(i))),
      );
      const won = (await Promise.all(attempts)).filter(({ succeeded }) => succeeded).map(({ revision }) => revision);
      assert.deepEqual(
        won.toSorted((a, b) => a - b),
        Array.from({ length: 30 }, (_, i) => 11 + i),
      );
      await follower.reached(40);
      assert.ok(follower.events.every(({ kv }) => !kv.key.startsWith("gap-")));
      assert.deepEqual(follower.revisions.slice(0, 5), [3, 4, 6, 10, 11]);
      await using session = await database(name).sql("gaps");
      assert.deepEqual(await session.query("SELECT id FROM kine WHERE name LIKE 'gap-%' AND id > 10"), []);
    });

    test(`D7 compact_rev_key row kept in ${name}: id 1, prev_revision is the compacted revision, and kine starts on it`, async (t) => {
      const served = await serve(t, name, "marker");
      const connection = served.connect(t);
      let mod = 0;
      for (const value of ["1", "2", "3"]) mod = await succeed(connection, write("/registry/a", mod, value));
      const marker = async () => {
        await using session = await database(name).sql("marker");
        return await session.query(
          "SELECT id, created, deleted, create_revision, prev_revision FROM kine WHERE name = 'compact_rev_key'",
        );
      };
      assert.deepEqual(await marker(), [[1, 1, 0, 0, 0]]);
      await ask(connection, { kind: "compact", revision: mod });
      assert.deepEqual(await marker(), [[1, 1, 0, 0, mod]]);
      assert.equal(await served.stop(), 0, served.log);
      await using session = await database(name).sql("marker");
      const kine = new KinePeer(session);
      await kine.start();
      assert.deepEqual(await kine.revisions(), { current: mod + 1, compacted: mod }); // its health key is the newest
      const next = (await kine.update({ name: "/registry/a", value: "kine", revision: mod })) ?? assert.fail();
      await kine.compact(next);
      assert.deepEqual(await marker(), [[1, 1, 0, 0, next]]);
      await served.restart();
      const again = served.connect(t);
      assert.deepEqual(lines((await list(again, { key: "/registry/a", end: "" })).kvs), [`/registry/a=kine@${next}`]);
      const old = await again.perform({ ...REGISTRY, kind: "range", revision: mod });
      assert.equal(old.kind === "refused" && old.reason, "compacted");
    });

    test(`D8 compact_rev_key_apiserver value format in ${name}: "version|value" is written, the old form is read`, async (t) => {
      {
        await using session = await database(name).sql("apiserver");
        await makeKineTable(session, newestOf(name), KINE_ROWS.slice(0, 11)); // its last row has the old form
      }
      const served = await serve(t, name, "apiserver");
      const connection = served.connect(t);
      const read = async () => (await list(connection, COMPACT)).kvs.map((kv) => [kv.key, kv.version, kv.value]);
      assert.deepEqual(await read(), [[COMPACT.key, 1, "0"]]);
      const lost = await ask(connection, lock(0, "5"));
      assert.equal(lost.succeeded, false);
      const [seen] = lost.responses;
      assert.deepEqual(seen?.kind === "range" && seen.kvs.map((kv) => [kv.version, kv.value]), [[1, "0"]]);
      assert.equal((await ask(connection, lock(1, "10"))).succeeded, true);
      assert.equal((await ask(connection, lock(2, "12|x"))).succeeded, true);
      assert.deepEqual(await read(), [[COMPACT.key, 3, "12|x"]]);
      {
        await using session = await database(name).sql("apiserver");
        const rows = await session.query(
          "SELECT value, old_value FROM kine WHERE name = 'compact_rev_key_apiserver' AND id > 11 ORDER BY id",
        );
        const texts = rows.map((row) => row.map(String));
        assert.deepEqual(texts, [
          ["2|10", "1"],
          ["3|12|x", "2|10"],
        ]);
      }
      await served.stop();
      await served.restart();
      assert.equal((await ask(served.connect(t), lock(3, "14"))).succeeded, true);
    });

    test(`D9 lease column TTL seconds in ${name}: at most 2^31-1, whatever was granted`, async (t) => {
      const served = await serve(t, name, "leases");
      const connection = served.connect(t);
      for (const [id, ttl] of [
        [71, 60],
        [72, LEASE_MAX],
        [73, LEASE_MAX + 1],
        [74, 9_000_000_000],
      ] as const) {
        const granted = await connection.perform({ kind: "leaseGrant", id, ttl });
        assert.equal(granted.kind === "ok" && "ttl" in granted.response && granted.response.ttl, ttl);
        await ask(connection, { kind: "put", key: `/registry/${id}`, value: "v", lease: id });
      }
      await using session = await database(name).sql("leases");
      const stored = await session.query("SELECT lease FROM kine WHERE lease <> 0 ORDER BY id");
      assert.deepEqual(stored.flat(), [60, LEASE_MAX, LEASE_MAX, LEASE_MAX]);
      await served.stop();
      await served.restart();
      const again = await served.connect(t).perform({ kind: "leaseTimeToLive", id: 74 });
      assert.equal(again.kind === "ok" && "granted" in again.response && again.response.granted, 9_000_000_000);
    });
  });
}

for (const name of DATABASES) {
  test(`D10 names of ${name} that are long, not ASCII or no text: distinct after a restart, or refused; never cut`, async (t) => {
    const served = await serve(t, name, "names");
    const connection = served.connect(t);
    const odd = [
      ...[
        "\0",
        "a\0b",
        "a\0",
        "\xff",
        "\xff\xfe",
        "\xc3\xbc",
        "\xc3",
        "é",
        " ",
        "a ",
        "a  ",
        "A",
        "a",
        "a\t",
        "%",
        "\\",
        "'",
      ],
      ...["1", "01", "1.0", "1e3", "-0", "9223372036854775808", "gap-1", "/registry/\xe6\x97\xa5", "x".repeat(630)],
    ];
    const kept: string[] = [];
    for (const key of odd) {
      const outcome = await connection.perform(write(key, 0, key));
      assert.notEqual(outcome.kind, "unknown", JSON.stringify([key, outcome]));
      if (outcome.kind === "ok") kept.push(key);
      else assert.equal(outcome.kind, "refused", JSON.stringify([key, outcome]));
    }
    const tooLong = await Promise.all(
      ["x".repeat(631), "\xff".repeat(630)].map((key) => connection.perform(write(key, 0, key))),
    );
    for (const outcome of tooLong) assert.notEqual(outcome.kind, "unknown", JSON.stringify(outcome));
    for (const [i, key] of ["x".repeat(631), "\xff".repeat(630)].entries())
      if (tooLong[i]?.kind === "ok") kept.push(key);
    const assertKept = async (of: typeof connection) => {
      const { kvs } = await list(of, EVERYTHING);
      assert.deepEqual(
        kvs.map(({ key, value }) => [key, value]),
        kept.toSorted((a, b) => (a < b ? -1 : 1)).map((key) => [key, key]),
      );
    };
    await assertKept(connection);
    await served.stop();
    await served.restart();
    const again = served.connect(t);
    await assertKept(again);
    for (const key of kept) {
      const [kv] = (await list(again, { key, end: "" })).kvs;
      await succeed(again, remove(key, kv?.mod ?? 0));
    }
    assert.equal((await list(again)).count, 0);
  });
}

describe("kine's old files of SQLite", () => {
  test("D2 SQLite name INTEGER affinity: all ranges are right, keys like numbers stay what they are, and TTL works", async (t) => {
    const numbers = ["1", "01", "007", "1e3", "1.50", "-0", "12", "9223372036854775808", "0x10"];
    {
      await using session = await database("SQLite").sql("integer");
      const create = newestOf("SQLite").statements.map((statement) => statement.replace("name TEXT", "name INTEGER"));
      await makeKineTable(session, { statements: create });
    }
    const served = await serve(t, "SQLite", "integer");
    const connection = served.connect(t);
    await until("the key with kine's TTL of 2 s is gone", async () => {
      return (await list(connection, { key: "/registry/short", end: "" })).count === 0;
    });
    assert.equal((await list(connection, { key: "/registry/ttl", end: "" })).count, 1);
    const keys = [...numbers, "/0", "/9", "/registry/1", "/registry/2", "0", "/"];
    for (const key of keys) await succeed(connection, write(key, 0, key));
    await served.stop();
    await served.restart();
    const again = served.connect(t);
    const all = (await list(again)).kvs.map(({ key }) => key);
    assert.deepEqual(
      keys.filter((key) => !all.includes(key)),
      [],
    );
    const bounds = ["\0", "/", "/registry/", "/registry/1", "/registry0", "0", "01", "1", "1e3", "2", "z"];
    for (const key of bounds)
      for (const end of bounds) {
        if (end === "\0") continue;
        const { kvs, count } = await list(again, { key, end });
        const expected = all.filter((one) => one >= key && one < end);
        assert.deepEqual([kvs.map((kv) => kv.key), count], [expected, expected.length], `${key} to ${end}`);
      }
    for (const key of keys) assert.equal((await list(again, { key, end: "" })).kvs[0]?.value, key);
  });
});
