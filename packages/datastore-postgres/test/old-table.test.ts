import { describe } from "node:test";
import { oldTableConformance } from "@k3s/testkit";
import { openPostgresReader } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const OLD_TABLE = `CREATE TABLE key_value (name VARCHAR(255), value bytea, create_revision INTEGER, revision INTEGER, ttl INTEGER,
  version INTEGER, del INTEGER, old_value bytea, id SERIAL PRIMARY KEY, old_revision INTEGER)`;
const KINE = `CREATE TABLE kine (id BIGSERIAL PRIMARY KEY, name TEXT COLLATE "C", created INTEGER, deleted INTEGER, create_revision BIGINT,
  prev_revision BIGINT, lease INTEGER, value bytea, old_value bytea)`;

describe("the table of kine's predecessor", () => {
  oldTableConformance(database, {
    old: OLD_TABLE,
    kine: KINE,
    foreign: "CREATE TABLE key_value (key TEXT, value TEXT)",
    notCopied: "ERR_POSTGRES_NOT_COPIED",
    openReader: (choice) => openPostgresReader({ ...choice, env: {} }),
  });
});
