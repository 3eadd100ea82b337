import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, copyFile, readFile } from "node:fs/promises";
import { connect, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createServer } from "node:tls";
import { createLogger } from "@k3s/log";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { collectLog } from "@k3s/testkit";
import { openPostgresDriver, type PostgresDriverOptions } from "../src/open-postgres-driver.ts";
import { TestDatabase } from "./support/test-database.ts";

const pki = { tls: serverTlsPaths("") };

const database = TestDatabase.forFile(async (folder) => {
  const serverDir = join(folder, "pki");
  await ensureServerPki({
    serverDir,
    clusterDomain: "c.local",
    sans: ["127.0.0.1", "localhost"],
    apiServerUrl: "https://127.0.0.1:1",
    hasEtcd: false,
  });
  pki.tls = serverTlsPaths(serverDir);
  const key = join(folder, "server.key");
  await copyFile(pki.tls.servingApiServer.key, key);
  await chmod(key, 0o600); // the server refuses others
  return ["ssl=on", `ssl_cert_file=${pki.tls.servingApiServer.cert}`, `ssl_key_file=${key}`];
});

/** Opens and closes; rejects as openPostgresDriver does. */
async function tryOpen(options: Partial<PostgresDriverOptions> & { readonly dsn: string }): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  const driver = await openPostgresDriver({ env: {}, log: collectLog().log, signal, ...options });
  try {
    await driver.heads(0, 1);
  } finally {
    await driver.close();
  }
}

describe("openPostgresDriver()", () => {
  test("O2 database auto-creation: makes a database of any name, and opens it again", async (t) => {
    for (let round = 0; round < 2; round++) await tryOpen({ dsn: database.dsn("odd-name%22%20%C3%A9") });
    const said =
      "SELECT datname::text, datcollate::text, pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname LIKE 'odd%'";
    assert.deepEqual(await database.sql(t, "postgres", said), [['odd-name" é', "C", "UTF8"]]);
  });

  test("finds the unix socket, and what environment variables say", async () => {
    const { folder, port } = database.server;
    await tryOpen({ dsn: `postgres:///x?host=${encodeURIComponent(folder)}&port=${port}&user=postgres` });
    await tryOpen({ dsn: "postgres:///x", env: { PGHOST: folder, PGPORT: String(port), PGUSER: "postgres" } });
  });

  test("goes on to the next host, and to the one that is wanted", async () => {
    const hosts = `127.0.0.1:1,127.0.0.1:${database.server.port}`;
    await tryOpen({ dsn: `postgres://postgres@${hosts}/x?target_session_attrs=primary` });
    const wanted = `${database.dsn("x")}?target_session_attrs=standby`;
    const stop = new AbortController();
    const write = (line: string): void => {
      if (/it is not standby.*waiting for the database/.test(line)) stop.abort();
    };
    const log = createLogger({ level: "info", format: "json", write });
    await assert.rejects(tryOpen({ dsn: wanted, log, signal: stop.signal }), { code: "ERR_POSTGRES_UNREACHABLE" });
  });

  test("says at once that the user is not let in, and keeps the password to itself", async () => {
    const dsn = `postgres://nobody:not-so-Secret@127.0.0.1:${database.server.port}/x`;
    await assert.rejects(tryOpen({ dsn }), (error: unknown) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, "ERR_POSTGRES_REFUSED");
      assert.ok(!`${error.message} ${String(error.cause)}`.includes("not-so-Secret"));
      return true;
    });
  });

  test("says that the user may not make the database, or the tables", async (t) => {
    await database.sql(t, "others", "DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN");
    await assert.rejects(tryOpen({ dsn: database.dsn("absent", "poor") }), { code: "ERR_POSTGRES_NO_DATABASE" });
    await assert.rejects(tryOpen({ dsn: database.dsn("others", "poor") }), { code: "ERR_POSTGRES_NO_SCHEMA" });
  });

  test("a user who owns nothing but may write opens tables that are there", async (t) => {
    const name = database.newName();
    await tryOpen({ dsn: database.dsn(name) });
    await database.sql(
      ...[t, name, "DROP ROLE IF EXISTS writer", "CREATE ROLE writer LOGIN"],
      "GRANT ALL ON ALL TABLES IN SCHEMA public TO writer",
      "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO writer",
    );
    await tryOpen({ dsn: database.dsn(name, "writer") });
  });

  test("refuses a table kine that is something else", async (t) => {
    const name = database.newName();
    await database.sql(t, name, "CREATE TABLE kine (id INTEGER, what TEXT)");
    await assert.rejects(tryOpen({ dsn: database.dsn(name) }), { code: "ERR_POSTGRES_OTHER_SCHEMA" });
  });

  test("gives up waiting when it is told to", async () => {
    const waiting = tryOpen({ dsn: "postgres://u@127.0.0.1:1/x", signal: AbortSignal.timeout(300) });
    await assert.rejects(waiting, { code: "ERR_POSTGRES_UNREACHABLE" });
  });
});

describe("O5 TLS flags to database: TLS to PostgreSQL", () => {
  const dsn = (host: string, parameters: string) =>
    `postgres://postgres@${host}:${database.server.port}/x${parameters}`;

  test("an unknown CA is trusted by sslmode=require and prefer, not by verify-ca and verify-full", async () => {
    for (const mode of ["require", "prefer", "allow", "disable"])
      await tryOpen({ dsn: dsn("127.0.0.1", `?sslmode=${mode}`) });
    for (const mode of ["verify-ca", "verify-full"])
      await assert.rejects(tryOpen({ dsn: dsn("127.0.0.1", `?sslmode=${mode}`) }), { code: "ERR_POSTGRES_REFUSED" });
  });

  test("a CA file verifies the server and its name, unless the endpoint says otherwise", async () => {
    const tls = { caFile: pki.tls.serverCa.cert };
    for (const host of ["127.0.0.1", "localhost"]) await tryOpen({ dsn: dsn(host, ""), tls });
    const other = { caFile: pki.tls.clientCa.cert };
    await assert.rejects(tryOpen({ dsn: dsn("127.0.0.1", ""), tls: other }), { code: "ERR_POSTGRES_REFUSED" });
    await tryOpen({ dsn: dsn("127.0.0.1", "?sslmode=disable"), tls: other });
  });

  test("sslnegotiation=direct begins with TLS, which verifies the server as ever", async (t) => {
    const { serverCa, servingApiServer } = pki.tls;
    const [cert, key] = [await readFile(servingApiServer.cert), await readFile(servingApiServer.key)];
    const front = createServer({ cert, key, ALPNProtocols: ["postgresql"] }, (client) => {
      assert.equal(client.alpnProtocol, "postgresql");
      const server = connect(database.server.port, "127.0.0.1");
      for (const end of [client, server]) end.on("error", () => undefined);
      client.pipe(server).pipe(client);
      t.after(() => client.destroy());
    });
    front.listen(0, "127.0.0.1");
    t.after(() => front.close());
    await once(front, "listening");
    const place = (port: number) => `postgres://postgres@127.0.0.1:${port}/x?sslnegotiation=direct`;
    const { port } = front.address() as AddressInfo; // sound: it listens on TCP
    await tryOpen({ dsn: place(port) });
    await tryOpen({ dsn: `${place(port)}&sslmode=verify-full&sslrootcert=${serverCa.cert}` });
    await assert.rejects(tryOpen({ dsn: `${place(port)}&sslmode=verify-full` }), { code: "ERR_POSTGRES_REFUSED" });
  });

  test("a TLS file that is not there is named", async () => {
    const tls = { caFile: "/nonexistent/ca.pem" };
    await assert.rejects(tryOpen({ dsn: dsn("127.0.0.1", ""), tls }), /Cannot read TLS file "\/nonexistent\/ca.pem"/);
  });
});
