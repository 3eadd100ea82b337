import { KINE_INDEXES, kineTablesConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

function table(
  types: { readonly id: string; readonly name: string; readonly blob: string },
  charset = "utf8mb4",
): string {
  const { id, name, blob } = types;
  const revisions = `create_revision ${id}, prev_revision ${id}`;
  const flags = "created INTEGER, deleted INTEGER";
  return `CREATE TABLE kine (id ${id} AUTO_INCREMENT, name ${name}, ${flags}, ${revisions}, lease INTEGER,
    value ${blob}, old_value ${blob}, PRIMARY KEY (id)) DEFAULT CHARSET ${charset}`;
}

const { byName, others, unique } = KINE_INDEXES;
const ALL = [byName, ...others, unique];

kineTablesConformance(database, {
  generations: [
    {
      name: "v0.1.0: text names with prefix indexes, no unique index",
      statements: [
        table({ id: "INTEGER", name: "TEXT", blob: "BLOB" }),
        "CREATE INDEX kine_name_index ON kine (name(100))",
      ],
      warns: /no unique index/,
    },
    {
      name: "2019: names in the default charset",
      statements: [table({ id: "INTEGER", name: "VARCHAR(630)", blob: "MEDIUMBLOB" }), byName, unique],
      warns: /32-bit/,
    },
    {
      name: "before v0.11.5: ascii names, 32-bit ids",
      statements: [table({ id: "INTEGER", name: "VARCHAR(630) CHARACTER SET ascii", blob: "MEDIUMBLOB" }), ...ALL],
      warns: /32-bit/,
    },
    {
      name: "since v0.11.5",
      statements: [
        table({ id: "BIGINT UNSIGNED", name: "VARCHAR(630) CHARACTER SET ascii", blob: "MEDIUMBLOB" }),
        ...ALL,
      ],
      warns: /letter case/,
    },
    {
      name: "latin1 database",
      statements: [
        table({ id: "BIGINT UNSIGNED", name: "VARCHAR(630)", blob: "MEDIUMBLOB" }, "latin1"),
        byName,
        unique,
      ],
      warns: /letter case/,
    },
  ],
  wide: table({ id: "BIGINT UNSIGNED", name: "VARCHAR(630) CHARACTER SET ascii", blob: "MEDIUMBLOB" }),
  narrow: table({ id: "INTEGER", name: "VARCHAR(630) CHARACTER SET ascii", blob: "MEDIUMBLOB" }),
  endOfIds: "the table ends at 2147483647; stop all servers and run: ALTER TABLE kine MODIFY id BIGINT UNSIGNED",
  cure: /run: (ALTER TABLE [^"]*UNSIGNED)/,
  startIds: () => [],
  uniqueIndex: {
    statement: "SHOW INDEX FROM kine WHERE Key_name='kine_name_prev_revision_uindex' AND Non_unique=0",
    rows: 2,
  },
  noOldValue: "(SELECT * FROM (SELECT value FROM kine WHERE id = 0) old)",
  deletion: (ids) => `DELETE kv FROM kine AS kv INNER JOIN (${ids}) AS ks ON kv.id = ks.id`,
});
