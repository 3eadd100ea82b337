import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collectLog, openUntilWaiting, startGreeter } from "@k3s/testkit";
import { MysqlError } from "../src/errors.ts";
import { openMysqlDriver } from "../src/open-mysql-driver.ts";
import { openMysqlReader } from "../src/open-mysql-reader.ts";
import { createUser, TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile({ hasTls: false });

const tryOpen = (dsn: string) => openUntilWaiting((options) => openMysqlDriver({ dsn, ...options }));

describe("openMysqlDriver() ends at once", () => {
  const parameters = [
    ["frobnicate=1", "frobnicate"],
    ["wait_timeout=7&lock_wait_timeout=%27long%27", "lock_wait_timeout"],
    ["hostname=1", "hostname"],
    ["wait_timeout=)", "wait_timeout"],
  ] as const;
  for (const [parameter, name] of parameters)
    test(`and names the parameter of ?${parameter} that the server does not take`, async () => {
      const message = new RegExp(`the server does not take ${name}$`);
      const refusal = { code: "ERR_MYSQL_PARAMETER", message };
      await assert.rejects(tryOpen(database.dsn(`${database.newName()}?${parameter}`)), refusal);
    });

  test("and says that the server has no TLS where tls=true and skip-verify ask for it", async () => {
    for (const tls of ["true", "skip-verify"])
      await assert.rejects(tryOpen(database.dsn(`${database.newName()}?tls=${tls}`)), {
        code: "ERR_MYSQL_NO_TLS",
        hint: /allowFallbackToPlaintext=true/,
      });
  });
});

test("openMysqlDriver() logs in by a password over TCP without TLS, also where the server has forgotten that it knows it", async (t) => {
  const grant = "GRANT ALL ON *.* TO 'plain'@'%'";
  await database.sql(t, "any", ...createUser("'plain'@'%'", "IDENTIFIED BY 'p@ss:/w'"), grant);
  const dsn = `plain:p@ss:/w@tcp(127.0.0.1:${database.server.port})/${database.newName()}`;
  for (const statement of ["SELECT 1", "FLUSH PRIVILEGES"]) {
    await database.sql(t, "any", statement);
    const driver = await database.open(t, { dsn });
    assert.deepEqual(await driver.heads(0, 1), []);
  }
});

describe("allowFallbackToPlaintext=true", () => {
  for (const tls of ["true", "skip-verify"])
    test(`goes on without TLS where tls=${tls} and the server has none`, async (t) => {
      const dsn = database.dsn(`${database.newName()}?allowFallbackToPlaintext=true&tls=${tls}`);
      assert.deepEqual(await (await database.open(t, { dsn })).heads(0, 1), []);
    });
});

describe("openMysqlDriver() waits, and says that nobody there speaks MySQL", () => {
  const programs = [
    { name: "NATS, which greets in another way", greeting: 'INFO {"server_id":"N"}\r\n' },
    { name: "PostgreSQL, which waits for the client's word", greeting: "" },
  ];
  for (const { name, greeting } of programs)
    test(`of ${name}`, async (t) => {
      const port = await startGreeter(t, greeting);
      assert.match(
        await tryOpen(`root@tcp(127.0.0.1:${port})/x?timeout=500ms`),
        /greeting.*address and port of the endpoint must be those of a MySQL/,
      );
    });
});

test("openMysqlReader() that is told to end says that nobody there speaks MySQL, also while it asks again", async (t) => {
  const port = await startGreeter(t, "");
  const signal = AbortSignal.timeout(1400); // the first try ends after a second, and no other
  const reading = openMysqlReader({ dsn: `root@tcp(127.0.0.1:${port})/x?timeout=1s`, log: collectLog().log, signal });
  await assert.rejects(reading, { code: "ERR_MYSQL_FOREIGN" });
});

test("the hint of an untrusted certificate has the flags of both commands", () => {
  const { hint } = MysqlError.untrusted("h", undefined);
  assert.match(hint ?? "", /--datastore-cafile \(k3s datastore serve: --ca-file\)/);
});
