import assert from "node:assert/strict";
import dns, { type LookupAddress, type LookupOptions } from "node:dns";
import { describe, test, type TestContext } from "node:test";
import { collectLog, FaultProxy, hostsConformance } from "@k3s/testkit";
import { connectMysql } from "../src/connect-mysql.ts";
import { MysqlDialect } from "../src/mysql-dialect.ts";
import { resolveMysqlTarget } from "../src/mysql-target.ts";
import { createUser, TestDatabase } from "./support/test-database.ts";

const ADDRESSES = ["127.0.0.2", "127.0.0.3"];

const database = TestDatabase.forFile();

/** A name with two addresses, which are two ways to one server. */
async function twoWays(t: TestContext) {
  const target = { port: database.server.port };
  const way = async (host = "", port = 0) => {
    const proxy = await FaultProxy.start({ target, listen: { host, port } });
    t.after(() => proxy.stop());
    return proxy;
  };
  const first = await way(ADDRESSES[0]);
  const second = await way(ADDRESSES[1], first.port);
  type Answer = (error: null, addresses: readonly LookupAddress[]) => void;
  t.mock.method(dns, "lookup", (name: string, _options: LookupOptions, answer: Answer) => {
    assert.equal(name, "db.example");
    process.nextTick(
      answer,
      null,
      ADDRESSES.map((address) => ({ address, family: 4 })),
    );
  });
  await database.sql(t, "any", ...createUser("'far'@'%'"), "GRANT ALL ON *.* TO 'far'@'%'");
  const dsn = `far@tcp(db.example:${first.port})/${database.newName()}?timeout=2s`;
  return { ways: [first, second] as const, open: () => database.open(t, { dsn }) };
}

hostsConformance("addresses of a MySQL host", { twoWays, begins: "with the first" });

describe("connectMysql()", () => {
  test("rejects where nobody knows the name", async () => {
    const target = await resolveMysqlTarget("u@tcp(nosuch.invalid:3306)/kine", {});
    const signal = AbortSignal.timeout(30_000);
    await assert.rejects(connectMysql(target, { database: undefined, signal }), { code: /^(?:ENOTFOUND|EAI_AGAIN)$/ });
  });
});

describe("MysqlDialect", () => {
  test("forget() ends a lost connection on its own server, and nobody's on another one", async (t) => {
    const target = await resolveMysqlTarget(database.dsn("any"), {});
    const layout = { idMax: 2 ** 53, name: { charset: "ascii", isLoose: false, maxBytes: 630 }, valueMax: 2 ** 32 };
    const dialect = new MysqlDialect({ target, layout, log: collectLog().log });
    const open = async () => {
      const session = await connectMysql(target, { database: undefined, signal: AbortSignal.timeout(10_000) });
      t.after(() => session.end());
      return session;
    };
    const [session, lost] = [await open(), await open()];
    const { variables } = lost;
    lost.variables = new Map([...variables, ["hostname", "elsewhere"]]);
    await dialect.forget(session, lost);
    assert.deepEqual(await lost.select("SELECT 1"), [[1]]);
    lost.variables = variables;
    await dialect.forget(session, lost);
    await assert.rejects(lost.select("SELECT 1"));
  });
});
