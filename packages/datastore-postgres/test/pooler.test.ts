import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type OpenStore } from "@k3s/datastore";
import { collectLog, contents, rangeOf, until, WatchRecorder, write } from "@k3s/testkit";
import { startPgBouncer } from "./support/pgbouncer.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

interface Place {
  readonly poolMode: "session" | "transaction";
  readonly parameters: string;
}

/** How servers open one database behind a new pooler. */
async function behindPooler(t: TestContext, { poolMode, parameters }: Place): Promise<() => Promise<OpenStore>> {
  const { folder, port: serverPort } = database.server;
  const port = await startPgBouncer(t, { folder, poolMode, serverPort });
  const name = database.newName();
  await database.sql(t, name, ""); // a pooler does not pass on that there is none
  const dsn = `postgres://postgres@127.0.0.1:${port}/${name}${parameters}`;
  const { log } = collectLog();
  return async () => {
    const store = await openStore(await database.open(t, { dsn, log }), { log });
    t.after(() => store.close());
    return store;
  };
}

const PLACES: readonly Place[] = [
  { poolMode: "session", parameters: "" },
  { poolMode: "transaction", parameters: "?default_query_exec_mode=exec" },
  { poolMode: "transaction", parameters: "" },
];

describe("PostgreSQL behind PgBouncer", () => {
  for (const { poolMode, parameters } of PLACES)
    test(`pool_mode=${poolMode}, endpoint with "${parameters}": two servers write, and each watches the other`, async (t) => {
      const open = await behindPooler(t, { poolMode, parameters });
      const [one, other] = [await open(), await open()];
      const seen = [one, other].map((store) => new WatchRecorder(store, rangeOf("/", "0")));
      const stores = [one, other];
      await Promise.all(
        stores.map(async (store, i) => {
          for (let n = 0; n < 20; n++) assert.equal((await store.txn(write(`/${i}/${n}`, 0, "1"))).succeeded, true);
        }),
      );
      for (const recorder of seen)
        await until("the watch tells all", () => Promise.resolve(recorder.events.length === 40));
      assert.deepEqual(await contents(one), await contents(other));
    });
});
