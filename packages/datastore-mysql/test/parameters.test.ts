import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { describeError, NodeError } from "@k3s/errors";
import { collectLog, openUntilWaiting } from "@k3s/testkit";
import { parseMysqlDsn } from "../src/mysql-dsn.ts";
import { openMysqlDriver } from "../src/open-mysql-driver.ts";
import { TestDatabase } from "./support/test-database.ts";

const COM_QUERY = 3;
const database = TestDatabase.forFile({ hasTls: false });

/** All that people get to see of an endpoint that is refused. */
async function refusalOf(dsn: string): Promise<string> {
  const { log, lines } = collectLog();
  try {
    const driver = await openMysqlDriver({ dsn, log, signal: AbortSignal.timeout(5000) });
    await driver.close();
  } catch (error) {
    assert.ok(error instanceof NodeError, String(error));
    return [error.code, describeError(error), error.hint, ...lines].join("\n");
  }
  assert.fail("It is not refused");
}

describe("openMysqlDriver() with a secret as a parameter", () => {
  for (const name of ["password", "PASSWORD", "passwd", "pwd", "pass", "token", "client_secret", "auth", "@@password"])
    for (const value of ["S3cret", "%27S3cret%27", "%zz"])
      test(`refuses ?${name}=${value} before it connects, and says where a password belongs`, async () => {
        const dsn = `root@unix(/nobody-listens-here)/x?${name}=${value}`;
        const refusal = await refusalOf(dsn);
        assert.match(refusal, /ERR_MYSQL_DSN\n.*put the password in front of the @/);
        assert.ok(refusal.includes(`: "${name}"`), refusal);
        assert.doesNotMatch(refusal, /S3cret/);
      });

  test("leaves the password of the account as it is", async (t) => {
    const admin = await database.connect(t);
    await admin.query("CREATE USER plain@localhost IDENTIFIED BY 'old'; GRANT ALL ON *.* TO plain@localhost");
    const hash = async () => JSON.stringify((await admin.query("SHOW CREATE USER plain@localhost"))[0]);
    const before = await hash();
    const other = `*${"0123456789".repeat(4)}`; // MariaDB takes a hash in quotes
    const refusal = await refusalOf(`${database.dsn("x", "plain:old")}?password=%27${other}%27`).catch(String);
    assert.equal(await hash(), before);
    assert.doesNotMatch(refusal, /0123|plain:old/);
  });

  test("repeats no value of the endpoint that a syntax error of the server is followed by", async () => {
    const refusal = await refusalOf(database.dsn("x?wait_timeout=)&@note=%27S3cret%27"));
    assert.match(refusal, /ERR_MYSQL_PARAMETER\n.*does not take wait_timeout, @note: .*error 1064/);
    assert.doesNotMatch(refusal, /S3cret/);
  });

  test("takes session variables that only sound like one", async (t) => {
    const variable = database.server.product === "MySQL" ? "generated_random_password_length=20" : "old_passwords=0";
    await database.open(t, { dsn: database.dsn(`${database.newName()}?${variable}&allowOldPasswords=true`) });
    const names = ["block_encryption_mode", "default_table_encryption", "generated_random_password_length"];
    const { variables } = parseMysqlDsn(`/?${names.map((name) => `${name}=1`).join("&")}`);
    assert.deepEqual([...variables.keys()], names);
  });
});

/** Stands in front of the server and answers every statement with the same error. */
async function narrowProxy(t: TestContext, code: number): Promise<number> {
  const text = Buffer.from("#42000Unsupported statement");
  const answer = Buffer.concat([Buffer.from([text.length + 3, 0, 0, 1, 0xff, code % 256, code >> 8]), text]);
  const proxy = createServer((client) => {
    const server = connect(database.server.socketPath);
    for (const end of [client, server])
      end.on("error", () => undefined).on("close", () => [client, server].map((one) => one.destroy()));
    server.pipe(client);
    client.on("data", (packet) => {
      const isStatement = packet[3] === 0 && packet[4] === COM_QUERY;
      if (isStatement) client.write(answer);
      else server.write(packet);
    });
    t.after(() => client.destroy());
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => proxy.close());
  return (proxy.address() as AddressInfo).port;
}

describe("openMysqlDriver() on a proxy that does not take our own statements", () => {
  test("ends at once where it takes the user for one without the privilege, and blames no parameter", async (t) => {
    const dsn = `root@tcp(127.0.0.1:${await narrowProxy(t, 1227)})/x?timeout=2s`;
    await assert.rejects(
      openUntilWaiting((options) => openMysqlDriver({ dsn, ...options })),
      { code: "ERR_MYSQL_PRIVILEGE" },
    );
  });

  for (const code of [1064, 1193])
    test(`waits, and blames no parameter of an endpoint that has none, for error ${code}`, async (t) => {
      const port = await narrowProxy(t, code);
      const dsn = `root@tcp(127.0.0.1:${port})/x?timeout=2s`;
      const told = await openUntilWaiting((options) => openMysqlDriver({ dsn, ...options }));
      assert.match(told, /waiting for the database/);
      assert.match(told, /Unsupported statement/);
      assert.doesNotMatch(told, /parameter|does not take/);
    });
});
