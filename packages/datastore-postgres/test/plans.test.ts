import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connectPostgres, findPlace } from "../src/connect-postgres.ts";
import { parsePostgresDsn } from "../src/parse-postgres-dsn.ts";
import { readHeads, readPresent, readRows, readValues } from "../src/reading.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();
/** From the sixth on the server may keep one plan for all values. */
const REPEATS = 10;

describe("plans of statements", () => {
  test("read no whole table, not even those that the server makes while it is nearly empty and keeps for a large one", async (t) => {
    const name = database.newName();
    const dsn = database.dsn(name);
    await database.open(t, { dsn });
    const place = await findPlace(parsePostgresDsn(dsn, { env: {} }));
    const session = await connectPostgres(place, { database: name, signal: AbortSignal.timeout(10_000) });
    t.after(() => session.end());
    const ids = Array.from({ length: 100 }, (_, i) => i);
    await session.run("BEGIN");
    for (let i = 0; i < REPEATS; i++) {
      await readPresent(session, ids);
      await readValues(session, ids);
      await readHeads(session, { after: i, limit: 1000 });
      await readRows(session, { after: i, limit: 1000 });
    }
    const scans = { text: "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0" };
    assert.deepEqual(await session.query(scans), []);
    await session.run("COMMIT");
  });
});
