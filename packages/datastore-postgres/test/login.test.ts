import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { TLSSocket } from "node:tls";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { describeError } from "@k3s/errors";
import { collectLog, openUntilWaiting, until } from "@k3s/testkit";
import { openPostgresDriver } from "../src/open-postgres-driver.ts";
import { openPostgresReader } from "../src/open-postgres-reader.ts";
import { TestDatabase } from "./support/test-database.ts";

const SSL_REQUEST_BYTES = 8;
const pki = { cert: "", key: "" };
const undo = new AsyncDisposableStack();

before(async () => {
  const serverDir = await mkdtemp(join(tmpdir(), "k3s-login-"));
  undo.defer(() => rm(serverDir, { recursive: true, force: true }));
  const names = { clusterDomain: "c.local", sans: ["127.0.0.1"], apiServerUrl: "https://127.0.0.1:1" };
  await ensureServerPki({ serverDir, ...names, hasEtcd: false });
  const { servingApiServer } = serverTlsPaths(serverDir);
  Object.assign(pki, { cert: await readFile(servingApiServer.cert, "utf8") });
  Object.assign(pki, { key: await readFile(servingApiServer.key, "utf8") });
});
after(() => undo.disposeAsync());

/** A request for authentication, as PostgreSQL writes it. */
function request(code: number, rest = ""): Buffer {
  const message = Buffer.alloc(9);
  message.write("R");
  message.writeInt32BE(8 + rest.length, 1);
  message.writeInt32BE(code, 5);
  return Buffer.concat([message, Buffer.from(rest, "latin1")]);
}

/** A server with TLS that answers whoever wants to begin with these bytes. Resolves with its port. */
async function startAnswering(t: TestContext, answer: Buffer): Promise<number> {
  const listen = (socket: Socket) => {
    socket.on("error", () => undefined);
    t.after(() => socket.destroy());
    socket.once("data", (bytes) => {
      if (bytes.length > SSL_REQUEST_BYTES) {
        socket.write(answer);
        return;
      }
      socket.write("S");
      listen(new TLSSocket(socket, { isServer: true, ...pki }));
    });
  };
  const server = createServer(listen).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port; // sound: it listens on TCP
}

describe("a server that asks for a way to log in that is not built in", () => {
  const requests = [
    { method: "GSSAPI", answer: request(7) },
    { method: "SSPI", answer: request(9) },
    { method: "method 99", answer: request(99) },
    { method: "OAUTHBEARER", answer: request(10, "OAUTHBEARER\0\0") },
  ];
  for (const { method, answer } of requests)
    for (const mode of ["disable", "require"])
      test(`as ${method}, with sslmode=${mode}, is left at once, by who writes and by who reads`, async (t) => {
        const port = await startAnswering(t, answer);
        const dsn = `postgres://u:secret@127.0.0.1:${port}/x?sslmode=${mode}`;
        const refusal = {
          code: "ERR_POSTGRES_LOGIN",
          message: new RegExp(`asks for ${method}`),
          hint: /scram-sha-256.*pg_hba\.conf/,
        };
        await assert.rejects(
          openUntilWaiting((options) => openPostgresDriver({ dsn, env: {}, ...options })),
          refusal,
        );
        const signal = AbortSignal.timeout(5000);
        await assert.rejects(openPostgresReader({ dsn, env: {}, log: collectLog().log, signal }), refusal);
      });
});

const TRUST = "host all all 127.0.0.1/32 trust\nlocal all all trust\n";
const rules = { path: "" };
const database = TestDatabase.forFile(async (folder) => {
  rules.path = join(folder, "pg_hba.conf");
  await writeFile(rules.path, TRUST);
  return [`hba_file=${rules.path}`];
});

test("a server that asks for GSSAPI later is not used until it does no more", async (t) => {
  const name = database.newName();
  await database.sql(t, name, "CREATE ROLE ticket LOGIN", `ALTER DATABASE ${name} OWNER TO ticket`);
  const driver = await database.open(t, { dsn: database.dsn(name, "ticket") });
  const setRules = async (text: string) => {
    await writeFile(rules.path, text);
    const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ticket'";
    await database.sql(t, name, "SELECT pg_reload_conf()", end);
  };
  await setRules(`host all ticket 127.0.0.1/32 gss\n${TRUST}`);
  await until("the server asks for GSSAPI", async () => {
    const error = await driver.heads(0, 1).catch((failure: unknown) => failure);
    return describeError(error).includes("asks for GSSAPI");
  });
  await setRules(TRUST);
  await until("the server lets the driver in", () => driver.heads(0, 1).then(() => true));
});

test("a server without a free connection is waited for, and it is said so", async (t) => {
  const name = database.newName();
  await database.sql(t, name, "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0");
  const dsn = database.dsn(name, "crowded");
  const told = await openUntilWaiting((options) => openPostgresDriver({ dsn, env: {}, ...options }));
  assert.match(told, /too many connections.*max_connections.*waiting for the database/);
  assert.doesNotMatch(told, /firewall/);
  const missing = database.dsn(database.newName(), "crowded");
  assert.match(
    await openUntilWaiting((options) => openPostgresDriver({ dsn: missing, env: {}, ...options })),
    /too many connections.*max_connections/,
  );
});
