import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CaseClient } from "./support/case-client.ts";
import { databasesForFile, SQL_DATABASES } from "./support/databases.ts";
import { GENERATIONS, KINE_ROWS, makeKineTable, newestOf, type Generation } from "./support/databases-generations.ts";
import { ServedDatastore } from "./support/databases-served.ts";

const database = databasesForFile(SQL_DATABASES);

/** Deletions among {@link KINE_ROWS}: with and without a value, with and without the revision of the creation. */
const DELETIONS = [
  { key: "/registry/old-delete", mod: 7, previous: { create: 6, mod: 6, version: 1, value: "d1" } },
  { key: "/registry/new-delete", mod: 9, previous: { create: 8, mod: 8, version: 1, value: "n1" } },
] as const;

/** The rows are alike in every layout; what the columns are made of is least so in the oldest and the newest. */
function oldestOf(name: keyof typeof GENERATIONS): Generation {
  const [oldest] = GENERATIONS[name];
  assert.ok(oldest !== undefined);
  return oldest;
}

/** What is encoded is the same on both transports, so one layout is enough for the second. */
function layoutsOf(name: keyof typeof GENERATIONS) {
  return [
    { generation: oldestOf(name), transport: "http2" },
    { generation: newestOf(name), transport: "http2" },
    { generation: newestOf(name), transport: "grpc-js" },
  ] as const;
}

for (const name of SQL_DATABASES) {
  describe(`on ${name}`, () => {
    for (const [index, { generation, transport }] of layoutsOf(name).entries()) {
      test(`P28 delete event: key and revision, nothing else, of rows of kine ${generation.name}, over ${transport}`, async (t) => {
        const data = `deletions${index}`;
        {
          await using session = await database(name).sql(data);
          await makeKineTable(session, generation);
        }
        const args = [`--datastore-transport=${transport}`];
        const served = await ServedDatastore.start(t, database(name).endpoint(data), { args });
        const client = new CaseClient(t, served.target);
        for (const { key, mod, previous } of DELETIONS) {
          const row = KINE_ROWS.find(([id]) => id === mod);
          assert.deepEqual([row?.[1], row?.[3]], [key, 1], "a deletion");
          const kv = { key, create: 0, mod, version: 0, value: "", lease: 0n };
          for (const prevKv of [false, true]) {
            const watch = client.watch();
            await watch.create({ key, start: mod, prevKv });
            const [event] = await watch.events(1);
            const before = prevKv ? { key, ...previous, lease: 0n } : undefined;
            assert.deepEqual(event, { type: "delete", kv, prevKv: before });
          }
        }
      });
    }
  });
}
