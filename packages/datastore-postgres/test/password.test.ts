import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
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

/** Makes a user who needs a password, unless he is there, and names a database of his own. */
async function ownDatabase(t: TestContext): Promise<string> {
  const name = database.newName();
  const once = `DO $$BEGIN CREATE ROLE ${USER} LOGIN CREATEDB; EXCEPTION WHEN duplicate_object THEN NULL; END$$`;
  await database.sql(t, "postgres", once, `ALTER ROLE ${USER} PASSWORD 'p:/w'`);
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

describe("a password that PostgreSQL keeps with many rounds of SCRAM", () => {
  /** Makes the user with such a password, and names a database. ALTER ROLE would count the rounds. */
  async function dsnWith(t: TestContext, rounds: number, verifier = scramVerifier("p:/w", rounds)): Promise<string> {
    const name = await ownDatabase(t);
    await database.sql(t, "postgres", `UPDATE pg_authid SET rolpassword = '${verifier}' WHERE rolname = '${USER}'`);
    return database.dsn(name, `${USER}:p%3A%2Fw`);
  }

  test("opens what has more of them than the library takes by itself", async (t) => {
    const driver = await database.open(t, { dsn: await dsnWith(t, 200_000), env: {} });
    assert.deepEqual(await driver.heads(0, 1), []);
  });

  test("is refused at once where connecting would take too long, by who writes and by who reads", async (t) => {
    const dsn = await dsnWith(t, 1_000_000_000, scramVerifier("p:/w", 1).replace("$1:", "$1000000000:"));
    const refusal = { code: "ERR_POSTGRES_SCRAM_ROUNDS", hint: /scram_iterations/ };
    await assert.rejects(
      openUntilWaiting((options) => openPostgresDriver({ dsn, env: {}, ...options })),
      refusal,
    );
    const signal = AbortSignal.timeout(5000);
    await assert.rejects(openPostgresReader({ dsn, env: {}, log: collectLog().log, signal }), refusal);
  });
});

/** What PostgreSQL keeps of a password (RFC 5803). */
function scramVerifier(password: string, rounds: number): string {
  const salt = Buffer.from("0123456789abcdef");
  const salted = pbkdf2Sync(password, salt, rounds, 32, "sha256");
  const keyed = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(keyed("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${rounds}:${salt.toString("base64")}$${stored}:${keyed("Server Key").toString("base64")}`;
}
