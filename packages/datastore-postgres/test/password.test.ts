import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { collectLog, openUntilWaiting } from "@k3s/testkit";
import { openPostgresDriver } from "../src/open-postgres-driver.ts";
import { openPostgresReader } from "../src/open-postgres-reader.ts";
import { TestDatabase } from "./support/test-database.ts";

const USER = "scram";
const RULES = [
  "local all all trust",
  `host all ${USER} 127.0.0.1/32 scram-sha-256`,
  "host all postgres 127.0.0.1/32 trust",
  "host replication postgres 127.0.0.1/32 trust",
];

const database = TestDatabase.forFile(async (folder) => {
  const rules = join(folder, "pg_hba.conf");
  await writeFile(rules, `${RULES.join("\n")}\n`);
  return [`hba_file=${rules}`];
});

/** Makes a user who needs a password, and a database of his own. */
async function ownDatabase(t: TestContext): Promise<string> {
  const name = database.newName();
  const role = [`DROP ROLE IF EXISTS ${USER}`, `CREATE ROLE ${USER} LOGIN CREATEDB PASSWORD 'p:/w'`];
  await database.sql(t, "postgres", ...role);
  return name;
}

const MISSING = { code: "ERR_POSTGRES_NO_PASSWORD", hint: /PGPASSWORD.*PGPASSFILE/ };

describe("an endpoint without the password that PostgreSQL asks for", () => {
  test("is refused at once, by who writes and by who reads", async (t) => {
    const name = await ownDatabase(t);
    for (const parameters of ["?sslmode=disable", "", "?sslmode=allow"]) {
      const dsn = database.dsn(name, USER, parameters);
      await assert.rejects(
        openUntilWaiting((options) => openPostgresDriver({ dsn, env: {}, ...options })),
        MISSING,
      );
      const signal = AbortSignal.timeout(5000);
      await assert.rejects(openPostgresReader({ dsn, env: {}, log: collectLog().log, signal }), MISSING);
    }
  });

  test("is refused where the other host is away", async (t) => {
    const name = await ownDatabase(t);
    const here = `127.0.0.1:${database.server.port}`;
    for (const hosts of [`127.0.0.1:1,${here}`, `${here},127.0.0.1:1`]) {
      const dsn = `postgres://${USER}@${hosts}/${name}`;
      await assert.rejects(
        openUntilWaiting((options) => openPostgresDriver({ dsn, env: {}, ...options })),
        MISSING,
      );
    }
  });

  test("gets it from PGPASSWORD, or from a password file", async (t) => {
    const dsn = database.dsn(await ownDatabase(t), USER);
    const passwords = join(database.server.folder, "passwords");
    await writeFile(passwords, `127.0.0.1:*:*:${USER}:p\\:/w\n`);
    for (const env of [{ PGPASSWORD: "p:/w" }, { PGPASSFILE: passwords }]) {
      const driver = await database.open(t, { dsn, env });
      assert.deepEqual(await driver.heads(0, 1), []);
    }
  });
});
