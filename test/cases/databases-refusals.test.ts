import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "../consistency/wire/connection.ts";
import type { Outcome } from "../consistency/history/operation.ts";
import { databasesForFile } from "./support/databases.ts";
import { GENERATIONS, KINE_ROWS, makeKineTable } from "./support/databases-generations.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { EVERYTHING, list, succeed, write } from "./support/databases-wire.ts";

const SERVERS = ["MariaDB", "PostgreSQL"] as const;
const REFUSED = /^etcdserver: the database cannot hold this change: /;
/** What a client is told to run ends the text, where the database has no words of its own to add. */
const CURE = /run: (ALTER TABLE kine .*?)(?:: Duplicate entry .*)?$/;
/** Marker and health key as kine makes them. */
const FIRST_ROWS = KINE_ROWS.slice(0, 2);

const database = databasesForFile(SERVERS);

/** A table of the generation whose name begins so, with rows of kine, served. */
async function serve(t: Parameters<typeof ServedDatastore.start>[0], table: OldTable): Promise<ServedDatastore> {
  const { name, data, generation, rows = [] } = table;
  const layout = GENERATIONS[name].find((one) => one.name.startsWith(generation)) ?? assert.fail(generation);
  await using session = await database(name).sql(data);
  await makeKineTable(session, layout, [...FIRST_ROWS, ...rows]);
  return await ServedDatastore.start(t, database(name).endpoint(data));
}

interface OldTable {
  readonly name: (typeof SERVERS)[number];
  readonly data: string;
  readonly generation: string;
  readonly rows?: typeof KINE_ROWS;
}

/** Creates all keys at once, each with the value that goes with it or with its own name. */
async function createAll(connection: Connection, keys: readonly (string | readonly [string, string])[]) {
  const pairs = keys.map((key) => (typeof key === "string" ? ([key, key] as const) : key));
  const outcomes = await Promise.all(pairs.map(([key, value]) => connection.perform(write(key, 0, value))));
  return new Map(pairs.map(([key], i) => [key, outcomes[i] ?? assert.fail()]));
}

/** The text with which one of them was refused for good; the outcome must not be open. */
function textOf(outcome: Outcome | undefined): string {
  assert.equal(outcome?.kind, "refused", JSON.stringify(outcome));
  return outcome?.kind === "refused" ? outcome.text : "";
}

function keysOf(outcomes: ReadonlyMap<string, Outcome>, kind: Outcome["kind"]): string[] {
  return [...outcomes].filter(([, outcome]) => outcome.kind === kind).map(([key]) => key);
}

const many = (prefix: string) => Array.from({ length: 20 }, (_, i) => `${prefix}${String(i).padStart(2, "0")}`);

describe("what a table can never hold", () => {
  for (const name of SERVERS)
    test(`D3 32-bit id columns of ${name}: writes up to the last id, then refuses with the cure, which helps`, async (t) => {
      const [room, last] = [7, 2 ** 31 - 1];
      const newest = [last - room, "/registry/a", 1, 0, 0, 0, 0, Buffer.from("a"), null];
      const served = await serve(t, { name, data: "ids", generation: "v0.6", rows: [newest] });
      assert.match(served.log, /the table ends at a 32-bit id/);
      const connection = served.connect(t);
      const outcomes = await createAll(connection, many("/registry/k"));
      assert.deepEqual([keysOf(outcomes, "ok").length, keysOf(outcomes, "unknown")], [room, []]);
      const refused = keysOf(outcomes, "refused");
      const cure = CURE.exec(textOf(outcomes.get(refused[0] ?? "")))?.[1] ?? "";
      for (const key of refused) assert.match(textOf(outcomes.get(key)), REFUSED);
      assert.equal((await list(connection)).revision, last);
      assert.equal(served.log.split("refused a change that the datastore cannot hold").length, 2, served.log);
      assert.ok(served.log.includes(cure));
      await served.stop();
      {
        await using session = await database(name).sql("ids");
        for (const statement of cure.split("; ")) await session.query(statement);
      }
      await served.restart();
      assert.equal(await succeed(served.connect(t), write("/registry/later", 0, "1")), last + 1);
    });

  for (const generation of ["late 2019", "v0.11.5"])
    test(`D4, hard case 38 names of MariaDB, ${generation}: a collision is refused alone and clearly, never the wrong object`, async (t) => {
      const data = generation.replace(/\W/g, "");
      const served = await serve(t, { name: "MariaDB", data, generation });
      const connection = served.connect(t);
      await succeed(connection, write("/a/B", 0, "/a/B"));
      const long = `/${"x".repeat(630)}`;
      const distinct = ["/a/b ", "/a/\xc3\xbc", `/${"x".repeat(629)}`, ...many("/b/")];
      const outcomes = await createAll(connection, ["/a/b", long, ...distinct]);
      assert.deepEqual(keysOf(outcomes, "ok"), distinct);
      const text = textOf(outcomes.get("/a/b"));
      assert.match(text, /: the table takes a key for the same as "\/a\/B", from which it differs in letter case/);
      assert.match(textOf(outcomes.get(long)), /the database cannot hold a key of this length/);
      const shown = async (of: Connection) => (await list(of, { key: "/a/", end: "/c" })).kvs;
      const expected = ["/a/B", ...distinct].filter((key) => key < "/c").toSorted();
      const kvs = await shown(connection);
      assert.deepEqual([kvs.map(({ key }) => key), kvs.map(({ value }) => value)], [expected, expected]);
      assert.deepEqual((await list(connection, { key: "/a/b", end: "" })).kvs, []);
      await served.stop();
      {
        await using session = await database("MariaDB").sql(data);
        await session.query(CURE.exec(text)?.[1] ?? "");
      }
      await served.restart();
      const again = served.connect(t);
      await succeed(again, write("/a/b", 0, "/a/b"));
      assert.deepEqual(
        (await shown(again)).map(({ key }) => key),
        [...expected, "/a/b"].toSorted(),
      );
    });

  test("D10 names and values that are too long for the oldest tables of MariaDB: refused alone, nothing is cut", async (t) => {
    const served = await serve(t, { name: "MariaDB", data: "oldest", generation: "v0.1" });
    const connection = served.connect(t);
    const [fits, tooLong] = ["f".repeat(65_535), "l".repeat(65_536)];
    const longName = `/${"x".repeat(630)}`;
    const outcomes = await createAll(connection, [["/v/fits", fits], ["/v/long", tooLong], longName, ...many("/v/")]);
    assert.deepEqual(keysOf(outcomes, "refused"), ["/v/long", longName]);
    assert.deepEqual(keysOf(outcomes, "unknown"), []);
    const text = textOf(outcomes.get("/v/long"));
    assert.match(text, /a value of 65536 bytes: the table holds 65535; stop all servers and run/);
    const { kvs, count } = await list(connection, { key: "/v/", end: "/v0" });
    assert.deepEqual([count, kvs.find(({ key }) => key === "/v/fits")?.value === fits], [21, true]);
    await served.stop();
    {
      await using session = await database("MariaDB").sql("oldest");
      await session.query(CURE.exec(text)?.[1] ?? "");
    }
    await served.restart();
    const again = served.connect(t);
    await succeed(again, write("/v/long", 0, tooLong));
    const [kv] = (await list(again, { ...EVERYTHING, key: "/v/long", end: "" })).kvs;
    assert.equal(kv?.value === tooLong, true);
  });
});
