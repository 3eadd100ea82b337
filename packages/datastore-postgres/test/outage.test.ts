import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collectLog, contents, isUnavailable, outageConformance, until, write } from "@k3s/testkit";
import { openPostgresDriver } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

outageConformance("PostgreSQL", database, async (t, name) => {
  const admin = await database.connect(t);
  return async () => {
    await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
  };
});

describe("PostgreSQL read-only", () => {
  test("refuses writes as unavailable, names cause and cure in the log, and reads go on", async (t) => {
    const name = database.newName();
    const { log, lines } = collectLog();
    const store = await database.store(t, name, log);
    const admin = await database.connect(t);
    await store.txn(write("/a", 0, "1"));
    const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    await admin.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await admin.query(cut, [name]);
    await until("writes are refused for that", async () => {
      await assert.rejects(store.txn(write("/a", 3, "2")), isUnavailable);
      return lines.some((line) => line.includes("it is read-only"));
    });
    const before = lines.length;
    for (let i = 0; i < 50; i++) await assert.rejects(store.txn(write("/a", 3, "2")), isUnavailable);
    assert.ok(lines.length - before <= 3, lines.slice(before).join(""));
    await until("reads go on", async () => (await contents(store))[0] === "/a=1@3");
    const said = lines.find((line) => line.includes("it is read-only")) ?? "";
    assert.match(said, /end the read-only mode of the database/);
    const opening = openPostgresDriver({ dsn: database.dsn(name), env: {}, log, signal: AbortSignal.timeout(20_000) });
    await assert.rejects(opening, { code: "ERR_POSTGRES_READ_ONLY" });
    await admin.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    await admin.query(cut, [name]);
    await until("writes are served again", async () => (await store.txn(write("/a", 3, "2"))).succeeded);
  });
});
