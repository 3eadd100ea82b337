import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { collectLog, readerConformance } from "@k3s/testkit";
import { openPostgresReader } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const KINE = `CREATE TABLE kine (id SERIAL PRIMARY KEY, name VARCHAR(630), created INTEGER, deleted INTEGER, create_revision INTEGER,
  prev_revision INTEGER, lease INTEGER, value bytea, old_value bytea)`;

const options = () => ({ env: {}, log: collectLog().log, signal: AbortSignal.timeout(20_000) });

/** Databases, everything that was made in this one, and the rows of kine. */
async function dump(t: TestContext, name: string): Promise<unknown> {
  const databases = await database.sql(t, "postgres", "SELECT datname::text FROM pg_database ORDER BY 1");
  const relations = await database.sql(
    t,
    name,
    "SELECT relname::text, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
  );
  const indexes = await database.sql(t, name, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1");
  const rows = relations.some(([table]) => table === "kine")
    ? await database.sql(t, name, "SELECT t::text FROM kine t ORDER BY id")
    : [];
  return { databases, relations, indexes, rows };
}

describe("openPostgresReader()", () => {
  test("makes no database, and no table", async (t) => {
    const before = await dump(t, "postgres");
    const absent = { code: "ERR_POSTGRES_ABSENT", message: /there is no database "typo"$/ };
    await assert.rejects(openPostgresReader({ dsn: database.dsn("typo"), ...options() }), absent);
    const empty = { code: "ERR_POSTGRES_ABSENT", message: /there is no table kine in database "postgres"$/ };
    await assert.rejects(openPostgresReader({ dsn: database.dsn("postgres"), ...options() }), empty);
    assert.deepEqual(await dump(t, "postgres"), before);
  });

  readerConformance(database, {
    openReader: (choice) => openPostgresReader({ ...choice, env: {} }),
    oldTable: KINE,
    dump,
    addReader: async (t, name) => {
      await database.sql(t, name, "CREATE USER reads");
      await database.sql(t, name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads");
      return database.dsn(name, "reads");
    },
  });
});
