import { KINE_INDEXES, kineTablesConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

/** Old names are in the collation of the database: it is not the order of bytes. */
const database = TestDatabase.forFile(() => [], { icuLocale: "en-US" });

function table(types: { readonly id: "SERIAL" | "BIGSERIAL"; readonly name: string }): string {
  const { id, name } = types;
  const number = id === "SERIAL" ? "INTEGER" : "BIGINT";
  return `CREATE TABLE kine (id ${id} PRIMARY KEY, name ${name}, created INTEGER, deleted INTEGER,
    create_revision ${number}, prev_revision ${number}, lease INTEGER, value bytea, old_value bytea)`;
}

const { byName, others, unique } = KINE_INDEXES;
const ALL = [byName, ...others, unique];

kineTablesConformance(database, {
  generations: [
    {
      name: "v0.1.0: no unique index",
      statements: [table({ id: "SERIAL", name: "TEXT" }), byName],
      warns: /no unique index/,
    },
    {
      name: "before v0.11.5: 32-bit ids",
      statements: [table({ id: "SERIAL", name: "VARCHAR(630)" }), ...ALL],
      warns: /32-bit/,
    },
    {
      name: "before v0.13.0: names in the collation of the database",
      statements: [table({ id: "BIGSERIAL", name: "VARCHAR(630)" }), ...ALL],
      warns: /^/,
    },
    {
      name: "since v0.13.0",
      statements: [table({ id: "BIGSERIAL", name: 'TEXT COLLATE "C"' }), ...ALL],
      warns: /^/,
    },
  ],
  wide: table({ id: "BIGSERIAL", name: "TEXT" }),
  narrow: table({ id: "SERIAL", name: "TEXT" }),
  endOfIds: "the table ends at 2147483647; stop all servers and run: ALTER TABLE kine ALTER COLUMN id TYPE BIGINT",
  cure: /run: (ALTER TABLE [^"]*BIGINT)/,
  startIds: (last) => [`SELECT setval('kine_id_seq', ${last})`],
  uniqueIndex: {
    statement:
      "SELECT 1 FROM pg_indexes WHERE indexname = 'kine_name_prev_revision_uindex' AND indexdef LIKE '%UNIQUE%'",
    rows: 1,
  },
  noOldValue: "(SELECT value FROM kine WHERE id = 0)",
  deletion: (ids) => `DELETE FROM kine AS kv USING (${ids}) AS ks WHERE kv.id = ks.id`,
});
