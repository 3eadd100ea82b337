import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import { openPostgresDriver } from "../src/open-postgres-driver.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

/** Rejects as openPostgresDriver does; waits no longer than until the first warning. */
async function tryOpen(dsn: string): Promise<string> {
  const stop = new AbortController();
  const lines: string[] = [];
  const write = (line: string): void => {
    lines.push(line);
    if (line.includes("waiting for the database")) stop.abort(new Error("It waits"));
  };
  const log = createLogger({ level: "info", format: "json", write });
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(30_000)]);
  const driver = await openPostgresDriver({ dsn, env: {}, log, signal }).catch((error: unknown) => {
    if (stop.signal.aborted) return undefined;
    throw error;
  });
  await driver?.close();
  return lines.join("");
}

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

  const programs = [
    { name: "NATS", greeting: 'INFO {"server_id":"N"}\r\n' },
    { name: "MariaDB", greeting: "[\0\0\0\x0a11.8.3-MariaDB\0" },
    { name: "MariaDB with a length like PostgreSQL's first byte", greeting: "R\0\0\0\x0a11.8.3-MariaDB\0" },
  ];
  for (const { name, greeting } of programs)
    test(`and says that it is no PostgreSQL: ${name}`, async (t) => {
      const port = await listen(
        t,
        createServer((socket) => {
          socket.on("error", () => undefined);
          socket.write(greeting, "latin1");
          t.after(() => socket.destroy());
        }),
      );
      for (const mode of ["prefer", "disable", "require"]) {
        const warning = await tryOpen(`postgres://u@127.0.0.1:${port}/x?sslmode=${mode}`);
        assert.match(warning, /does not speak PostgreSQL.*must be those of a PostgreSQL/);
      }
    });
});

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
