import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { collectLog, creations } from "@k3s/testkit";
import { connectMysql } from "../src/connect-mysql.ts";
import { openMysqlDriver, type MysqlDriverOptions } from "../src/open-mysql-driver.ts";
import { completeMysqlDsn, resolveMysqlTarget } from "../src/mysql-target.ts";
import { createUser, TestDatabase } from "./support/test-database.ts";

const HOSTS = "127.0.0.1,127.0.0.2";
const pki = { tls: serverTlsPaths("") };

const database = TestDatabase.forFile({ args: serverArgs });

async function serverArgs(folder: string): Promise<readonly string[]> {
  const serverDir = join(folder, "pki");
  await ensureServerPki({
    serverDir,
    clusterDomain: "c.local",
    sans: ["127.0.0.1", "localhost"],
    apiServerUrl: "https://127.0.0.1:1",
    hasEtcd: false,
  });
  pki.tls = serverTlsPaths(serverDir);
  const { clientCa, servingApiServer } = pki.tls;
  const tls = [`--ssl-ca=${clientCa.cert}`, `--ssl-cert=${servingApiServer.cert}`, `--ssl-key=${servingApiServer.key}`];
  return [...tls, `--bind-address=${HOSTS}`, `--log-bin=${join(folder, "binlog")}`, "--binlog-format=MIXED"];
}

/** Opens and closes; rejects as openMysqlDriver does. */
async function tryOpen(options: Partial<MysqlDriverOptions> & { readonly dsn: string }): Promise<void> {
  const driver = await openMysqlDriver({ log: collectLog().log, signal: AbortSignal.timeout(20_000), ...options });
  try {
    await driver.heads(0, 1);
  } finally {
    await driver.close();
  }
}

/** A user for TCP with rights on everything; what is behind its password are its requirements. */
async function addUser(t: TestContext, user: string, rest = ""): Promise<void> {
  const account = `'${user}'@'%'`;
  const grant = `GRANT ALL ON *.* TO ${account}`;
  await database.sql(t, "any", ...createUser(account, `IDENTIFIED BY 'secret' ${rest}`), grant);
}

const tcp = (user: string, host: string, rest: string) => `${user}:secret@tcp(${host}:${database.server.port})/${rest}`;

describe("openMysqlDriver()", () => {
  test("O2 database auto-creation: makes a database of any name, and opens it again", async (t) => {
    await tryOpen({ dsn: database.dsn("odd%2Dname%60%20%C3%A9") });
    await tryOpen({ dsn: database.dsn("odd%2Dname%60%20%C3%A9") });
    const rows = await database.sql(t, "any", "SHOW DATABASES LIKE 'odd%'");
    assert.deepEqual(rows, [["odd-name` é"]]);
  });

  test("takes the server's word for who we are on a unix socket", async (t) => {
    await database.sql(t, "any", ...createUser("'root'@'127.0.0.9'", "IDENTIFIED BY 'x'"));
    const isMysql = database.server.product === "MySQL";
    if (isMysql) await database.sql(t, "any", "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'");
    const bySocket = isMysql ? "IDENTIFIED WITH auth_socket" : "IDENTIFIED VIA unix_socket";
    await database.sql(t, "any", `ALTER USER 'root'@'localhost' ${bySocket}`);
    await tryOpen({ dsn: database.dsn(database.newName()) });
    await database.sql(t, "any", "ALTER USER 'root'@'localhost' IDENTIFIED BY ''");
  });

  test("says at once that the server does not let it in, and keeps the password to itself", async (t) => {
    await addUser(t, "known");
    const dsn = `known:not-so-Secret@tcp(127.0.0.1:${database.server.port})/x`;
    await assert.rejects(tryOpen({ dsn }), (error: unknown) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, "ERR_MYSQL_ACCESS");
      assert.ok(!`${error.message} ${String(error.cause)}`.includes("not-so-Secret"));
      return true;
    });
  });

  test("says that the user may not make the database", async (t) => {
    await database.sql(t, "any", ...createUser("'poor'@'localhost'", "IDENTIFIED BY 'p'"));
    await assert.rejects(tryOpen({ dsn: database.dsn("absent", "poor:p") }), { code: "ERR_MYSQL_ACCESS" });
  });

  for (const state of ["ACCOUNT LOCK", "PASSWORD EXPIRE"])
    test(`says at once that it cannot log in to an account with ${state}`, async (t) => {
      await addUser(t, "barred", state);
      await assert.rejects(tryOpen({ dsn: database.dsn("x", "barred:secret") }), { code: "ERR_MYSQL_ACCESS" });
    });

  test("says at once that the server lets in only those who use TLS", async (t) => {
    await addUser(t, "open");
    await database.sql(t, "any", "SET GLOBAL require_secure_transport=ON");
    t.after(() => database.sql(t, "any", "SET GLOBAL require_secure_transport=OFF"));
    await assert.rejects(tryOpen({ dsn: tcp("open", "127.0.0.1", "x") }), { code: "ERR_MYSQL_ACCESS", hint: /TLS/ });
    await tryOpen({ dsn: tcp("open", "127.0.0.1", "x?tls=skip-verify") });
  });

  test("gives up waiting when it is told to", async () => {
    const waiting = tryOpen({ dsn: "root@unix(/nonexistent/socket)/x", signal: AbortSignal.timeout(300) });
    await assert.rejects(waiting, { code: "ERR_MYSQL_UNREACHABLE" });
  });

  const tables = [
    { name: "is something else", sql: "CREATE TABLE kine (id INTEGER, what TEXT)", code: "ERR_MYSQL_OTHER_SCHEMA" },
    {
      name: "is kept without transactions",
      sql: `CREATE TABLE kine (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(630) CHARACTER SET ascii,
        created INT, deleted INT, create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED, lease INT,
        value MEDIUMBLOB, old_value MEDIUMBLOB) ENGINE=MyISAM`,
      code: "ERR_MYSQL_ENGINE",
    },
  ];
  for (const { name, sql, code } of tables) {
    test(`refuses a table kine that ${name}`, async (t) => {
      const name_ = database.newName();
      await database.sql(t, name_, sql);
      await assert.rejects(tryOpen({ dsn: database.dsn(name_) }), { code });
    });
  }

  const settings = [
    { variable: "max_allowed_packet", value: "1048576", back: "16777216", code: "ERR_MYSQL_PACKET" },
    { variable: "binlog_format", value: "'STATEMENT'", back: "'MIXED'", code: "ERR_MYSQL_BINLOG" },
  ];
  for (const { variable, value, back, code } of settings) {
    test(`refuses a server whose ${variable} is ${value}`, async (t) => {
      await database.sql(t, "any", `SET GLOBAL ${variable}=${value}`);
      try {
        await assert.rejects(tryOpen({ dsn: database.dsn(database.newName()) }), { code });
      } finally {
        await database.sql(t, "any", `SET GLOBAL ${variable}=${back}`);
      }
    });
  }

  test("cases 71 and 82: warns of a server that leaves ids out, and uses it without leaving any out", async (t) => {
    const { log, lines } = collectLog();
    const driver = await database.open(t, {
      dsn: database.dsn(`${database.newName()}?auto_increment_increment=3`),
      log,
    });
    assert.match(lines.join(""), /auto_increment_increment to 1/);
    await driver.commit(creations(0, "/a", "/b"));
    await driver.commit(creations(2, "/c"));
    assert.deepEqual(
      (await driver.heads(0, 10)).map(({ id }) => id),
      [1, 2, 3],
    );
  });

  test("sets what the DSN asks for, except where it needs another setting itself", async (t) => {
    const asked = "wait_timeout=77&sql_mode=%27ANSI%27&lock_wait_timeout=5&readTimeout=10s";
    const target = await resolveMysqlTarget(database.dsn(`any?${asked}`), {});
    const session = await connectMysql(target, { database: undefined, signal: AbortSignal.timeout(5000) });
    t.after(() => session.end());
    const [row] = await session.select("SELECT @@wait_timeout, @@lock_wait_timeout, @@sql_mode");
    assert.deepEqual(row, [77, 5, "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"]);
    const isolation = "SHOW VARIABLES WHERE Variable_name IN ('tx_isolation','transaction_isolation')";
    assert.equal((await session.select(isolation))[0]?.[1], "READ-COMMITTED");
  });

  test("drops a connection that answers too late for readTimeout", async () => {
    const target = await resolveMysqlTarget(database.dsn("any?readTimeout=50ms"), {});
    const session = await connectMysql(target, { database: undefined, signal: AbortSignal.timeout(5000) });
    await assert.rejects(session.select("SELECT SLEEP(30)"));
    assert.equal(session.lost.aborted, true);
  });
});

describe("completeMysqlDsn()", () => {
  test("fills in what kine fills in", () => {
    const { user, socketPath, database: name } = completeMysqlDsn("", {});
    assert.deepEqual([user, socketPath, name], ["root", "/var/run/mysqld/mysqld.sock", "kubernetes"]);
    const { host, port, socketPath: none } = completeMysqlDsn("", { caFile: "/ca.pem" });
    assert.deepEqual([host, port, none], ["127.0.0.1", 3306, undefined]);
    assert.equal(completeMysqlDsn("root@/", {}).database, "kubernetes");
    assert.equal(completeMysqlDsn("root@/other", {}).database, "other");
  });
});

describe("O5 TLS flags to database: TLS to MariaDB", () => {
  const ca = () => ({ caFile: pki.tls.serverCa.cert });
  const client = () => ({ certFile: pki.tls.clientAdmin.cert, keyFile: pki.tls.clientAdmin.key });

  test("tls=true does not trust an unknown CA; skip-verify and preferred do not ask", async (t) => {
    await addUser(t, "ssl", "REQUIRE SSL");
    await assert.rejects(tryOpen({ dsn: tcp("ssl", "127.0.0.1", "x?tls=true") }), { code: "ERR_MYSQL_TLS" });
    await tryOpen({ dsn: tcp("ssl", "127.0.0.1", "x?tls=skip-verify") });
    await tryOpen({ dsn: tcp("ssl", "127.0.0.1", "x?tls=preferred") });
    await assert.rejects(tryOpen({ dsn: tcp("ssl", "127.0.0.1", "x") }), { code: "ERR_MYSQL_ACCESS" });
  });

  test("a CA file switches TLS on over tls=false, and the server must have the name it is called by", async (t) => {
    await addUser(t, "ssl", "REQUIRE SSL");
    for (const host of ["127.0.0.1", "localhost"]) await tryOpen({ dsn: tcp("ssl", host, "x?tls=false"), tls: ca() });
    await assert.rejects(tryOpen({ dsn: tcp("ssl", "127.0.0.2", "x"), tls: ca() }), { code: "ERR_MYSQL_TLS" });
    await tryOpen({ dsn: tcp("ssl", "127.0.0.2", "x"), tls: { ...ca(), skipVerify: true } });
    const other = { caFile: pki.tls.clientCa.cert };
    await assert.rejects(tryOpen({ dsn: tcp("ssl", "127.0.0.1", "x"), tls: other }), { code: "ERR_MYSQL_TLS" });
  });

  test("a client certificate is shown where it is given", async (t) => {
    await addUser(t, "certified", "REQUIRE X509");
    await assert.rejects(tryOpen({ dsn: tcp("certified", "127.0.0.1", "x"), tls: ca() }), { code: "ERR_MYSQL_ACCESS" });
    await tryOpen({ dsn: tcp("certified", "127.0.0.1", "x"), tls: { ...ca(), ...client() } });
  });

  test("a TLS file that is not there is named", async () => {
    const tls = { caFile: "/nonexistent/ca.pem" };
    await assert.rejects(tryOpen({ dsn: database.dsn("x"), tls }), /Cannot read TLS file "\/nonexistent\/ca.pem"/);
  });
});
