import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openUntilWaiting, startGreeter } from "@k3s/testkit";
import { openPostgresDriver } from "../src/open-postgres-driver.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const tryOpen = (dsn: string) => openUntilWaiting((options) => openPostgresDriver({ dsn, env: {}, ...options }));

describe("openPostgresDriver() ends at once", () => {
  for (const parameter of ["frobnicate=1", "lock_timeout=long", "max_connections=7", "options=-c%20frobnicate%3D1"])
    test(`where the server does not take ?${parameter}, whether the database is there or not`, async () => {
      for (const name of [database.newName(), "postgres"])
        await assert.rejects(tryOpen(database.dsn(name, "postgres", `?${parameter}`)), {
          code: "ERR_POSTGRES_PARAMETER",
        });
    });

  for (const mode of ["require", "verify-ca", "verify-full"])
    test(`and names sslmode=${mode} where no host has TLS`, async () => {
      const { port } = database.server;
      for (const hosts of [`127.0.0.1:${port}`, `127.0.0.1:${port},localhost:${port}`])
        await assert.rejects(tryOpen(`postgres://postgres@${hosts}/x?sslmode=${mode}`), {
          code: "ERR_POSTGRES_NO_TLS",
          message: new RegExp(`sslmode=${mode} asks for$`),
        });
    });
});

describe("openPostgresDriver() waits", () => {
  test("where one host has no TLS and the other may have it", async () => {
    const { port } = database.server;
    for (const hosts of [`127.0.0.1:${port},127.0.0.1:1`, `127.0.0.1:1,127.0.0.1:${port}`])
      assert.match(await tryOpen(`postgres://postgres@${hosts}/x?sslmode=require`), /waiting for the database/);
  });

  test("and says what sslnegotiation=direct needs where the server does not take it", async () => {
    const warning = await tryOpen(database.dsn("x", "postgres", "?sslnegotiation=direct"));
    assert.match(warning, /PostgreSQL 17 or later.*waiting for the database/);
    assert.doesNotMatch(warning, /firewall/);
  });

  const programs = [
    { name: "NATS", greeting: 'INFO {"server_id":"N"}\r\n' },
    { name: "MariaDB", greeting: "[\0\0\0\x0a11.8.3-MariaDB\0" },
    { name: "MariaDB with a length like PostgreSQL's first byte", greeting: "R\0\0\0\x0a11.8.3-MariaDB\0" },
  ];
  for (const { name, greeting } of programs)
    test(`and says that it is no PostgreSQL: ${name}`, async (t) => {
      const port = await startGreeter(t, greeting);
      for (const mode of ["prefer", "disable", "require"]) {
        const warning = await tryOpen(`postgres://u@127.0.0.1:${port}/x?sslmode=${mode}`);
        assert.match(warning, /does not speak PostgreSQL.*must be those of a PostgreSQL/);
      }
    });
});
