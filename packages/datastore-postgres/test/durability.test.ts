import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { collectLog, until } from "@k3s/testkit";
import { connectPostgres, findPlace } from "../src/connect-postgres.ts";
import { openPostgresReader } from "../src/open-postgres-reader.ts";
import { parsePostgresDsn } from "../src/parse-postgres-dsn.ts";
import { TestDatabase } from "./support/test-database.ts";

const MESSAGE = "the database server can lose acknowledged writes";

const database = TestDatabase.forFile();

/** Until the test ends. */
async function switchOff(t: TestContext, setting: string): Promise<void> {
  const load = async (sql: string, value: string) => {
    const admin = await database.connect(t);
    await admin.query(sql);
    await admin.query("SELECT pg_reload_conf()");
    await until(`${setting} is ${value}`, async () => {
      const { rows } = await admin.query<Record<string, string>>(`SHOW ${setting}`);
      return rows[0]?.[setting] === value;
    });
  };
  await load(`ALTER SYSTEM SET ${setting} = off`, "off");
  t.after(() => load(`ALTER SYSTEM RESET ${setting}`, "on"));
}

async function findings(t: TestContext, dsn: string): Promise<string> {
  const signal = AbortSignal.timeout(30_000);
  const reader = await openPostgresReader({ dsn, env: {}, log: collectLog().log, signal });
  t.after(() => reader.close());
  return (await reader.findings()).join("\n");
}

describe("durability of the PostgreSQL server", () => {
  for (const setting of ["fsync", "full_page_writes"]) {
    test(`warns once, with the cure, of ${setting}=off; tools find it`, async (t) => {
      await switchOff(t, setting);
      const { log, lines } = collectLog();
      const dsn = database.dsn(database.newName());
      const driver = await database.open(t, { dsn, log });
      // Each on a connection of its own.
      await Promise.all([driver.heads(0, 1), driver.side(), driver.size()]);
      const told = lines.filter((line) => line.includes(MESSAGE));
      assert.equal(told.length, 1, told.join(""));
      const [line = ""] = told;
      assert.match(line, /"level":"warn".*a crash of its machine/);
      assert.ok(line.includes(`"server":"127.0.0.1:${database.server.port}","setting":"${setting}=off"`), line);
      assert.ok(line.includes(`"hint":"Run ALTER SYSTEM SET ${setting} = on; SELECT pg_reload_conf()"`), line);
      assert.match(await findings(t, dsn), new RegExp(`${setting}=off: .*Run ALTER SYSTEM SET ${setting} = on`));
    });
  }

  test("looks again when it connects anew, and says nothing of a server that is durable", async (t) => {
    const { log, lines } = collectLog();
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name), log });
    await driver.heads(0, 1);
    assert.equal(await findings(t, database.dsn(name)), "");
    assert.ok(!lines.join("").includes(MESSAGE), lines.join(""));
    await switchOff(t, "fsync");
    const admin = await database.connect(t);
    await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
    await until("the weakness is told of", async () => {
      await driver.heads(0, 1).catch(() => undefined);
      return lines.join("").includes("fsync=off");
    });
  });

  const places = ["database", "endpoint"];
  for (const place of places) {
    test(`waits for the disk where the ${place} sets synchronous_commit to off`, async (t) => {
      const name = database.newName();
      await database.sql(t, name, place === "database" ? `ALTER DATABASE ${name} SET synchronous_commit = off` : "");
      const dsn = database.dsn(name, "postgres", place === "endpoint" ? "?synchronous_commit=off" : "");
      const settings = parsePostgresDsn(dsn, { env: {} });
      const signal = AbortSignal.timeout(10_000);
      const session = await connectPostgres(await findPlace(settings), { database: name, signal });
      t.after(() => session.end());
      assert.deepEqual(await session.query({ text: "SHOW synchronous_commit" }), [["on"]]);
      assert.equal(await messagesOf(t, dsn), "");
    });
  }

  test("leaves a synchronous_commit alone that waits for the disk, or for more", async (t) => {
    const name = database.newName();
    await database.sql(t, name, "");
    const settings = parsePostgresDsn(database.dsn(name, "postgres", "?synchronous_commit=remote_apply"), { env: {} });
    const signal = AbortSignal.timeout(10_000);
    const session = await connectPostgres(await findPlace(settings), { database: name, signal });
    t.after(() => session.end());
    assert.deepEqual(await session.query({ text: "SHOW synchronous_commit" }), [["remote_apply"]]);
  });

  test("warns of synchronous_commit=off behind a pooler, which may forget what our sessions set", async (t) => {
    const name = database.newName();
    await database.sql(t, name, `ALTER DATABASE ${name} SET synchronous_commit = off`);
    const said = await messagesOf(t, database.dsn(name, "postgres", "?default_query_exec_mode=exec"));
    assert.match(said, /synchronous_commit=off.*pooler.*ALTER ROLE CURRENT_USER SET synchronous_commit = on/);
  });
});

/** What is said of durability when the driver is opened and used. */
async function messagesOf(t: TestContext, dsn: string): Promise<string> {
  const { log, lines } = collectLog();
  const driver = await database.open(t, { dsn, log });
  await driver.heads(0, 1);
  return lines.filter((line) => line.includes(MESSAGE)).join("");
}
