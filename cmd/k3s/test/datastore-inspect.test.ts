import assert from "node:assert/strict";
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";
import { run, temporaryFolder } from "./cli-process.ts";
import { etcdctl, serveDatastore } from "./datastore-server.ts";

const TOOLS = ["status", "check", "dump", "compact"] as const;

interface Database {
  readonly name: string;
  readonly code: string;
  /** Starts one of its own, in which nothing is; resolves with the endpoint of a database that is not there. */
  readonly start: (t: TestContext, folder: string) => Promise<string>;
}

const databases: readonly Database[] = [
  {
    name: "MariaDB",
    code: "ERR_MYSQL_ABSENT",
    start: async (t, folder) => {
      const server = await MariaDbServer.start({ folder });
      t.after(() => server[Symbol.asyncDispose]());
      return `mysql://root@tcp(127.0.0.1:${server.port})/typo`;
    },
  },
  {
    name: "PostgreSQL",
    code: "ERR_POSTGRES_ABSENT",
    start: async (t, folder) => {
      const server = await PostgresServer.start({ folder });
      t.after(() => server[Symbol.asyncDispose]());
      return `postgres://postgres@127.0.0.1:${server.port}/typo`;
    },
  },
  {
    name: "NATS",
    code: "ERR_NATS_ABSENT",
    start: async (t, folder) => {
      const server = await NatsServer.start(folder);
      t.after(() => server.stop());
      return `nats://${server.endpoint}?bucket=typo`;
    },
  },
  {
    name: "SQLite",
    code: "ERR_SQLITE_ABSENT",
    start: (_t, folder) => Promise.resolve(`sqlite://${join(folder, "typo.db")}`),
  },
];

for (const { name, code, start } of databases)
  describe(`k3s datastore on ${name}, looking only`, () => {
    test("says that there is no such database each time it is asked, as nothing makes it", async (t) => {
      const folder = await temporaryFolder(t);
      const endpoint = await start(t, folder);
      for (const tool of TOOLS) {
        const ended = await run(t, ["datastore", tool, `--endpoint=${endpoint}`]);
        assert.equal(ended.code, 1, tool);
        assert.ok(ended.stderr.includes(`Code:  ${code}\n`), ended.stderr);
        assert.match(ended.stderr, /^Hint: /m);
        assert.equal(ended.stdout, "");
      }
      if (name === "SQLite") assert.deepEqual(await readdir(folder), []);
    });

    test("finds nothing wrong where a lease has ended whose rows are not compacted yet", async (t) => {
      const endpoint = await start(t, await temporaryFolder(t));
      const server = await serveDatastore(t, [`--endpoint=${endpoint}`]);
      const ctl = (...args: string[]) => etcdctl([`--endpoints=${server.endpoint}`, ...args]);
      const [, lease = ""] = /lease ([0-9a-f]+)/.exec(await ctl("lease", "grant", "500")) ?? [];
      await ctl("put", "/a", "1", `--lease=${lease}`);
      await ctl("put", "/a", "2", `--lease=${lease}`);
      await ctl("lease", "revoke", lease);
      const check = await run(t, ["datastore", "check", `--endpoint=${endpoint}`]);
      assert.match(check.stdout, /nothing is wrong/);
      assert.equal(check.code, 0, check.stdout + check.stderr);
      const dump = await run(t, ["datastore", "dump", `--endpoint=${endpoint}`]);
      assert.doesNotMatch(dump.stdout, /\/a/);
      assert.equal(await server.stop(), 0);
    });
  });

test("k3s datastore on SQLite: says what a user lacks who may not read, or may only read", async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, "x.db");
  await (await serveDatastore(t, [`--endpoint=sqlite://${file}`])).stop();
  const files = await readdir(folder);
  const wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const cases = [
    [0o755, 0o644, `reading it needs "${file}-shm", which this user may not make or open`, "ERR_SQLITE_NO_INDEX"],
    [0o755, 0o600, "this user may not read it", "ERR_SQLITE_NOT_READABLE"],
    [0o700, 0o644, "this user may not read it", "ERR_SQLITE_NOT_READABLE"],
  ] as const;
  for (const [ofFolder, ofFile, reason, code] of cases) {
    await chmod(file, ofFile);
    await chmod(folder, ofFolder);
    const { stderr } = await run(t, ["datastore", "status", `--endpoint=sqlite://${file}`], { wrapper });
    assert.ok(stderr.includes(`Cannot open datastore "${file}": ${reason}`), stderr);
    assert.ok(stderr.includes(`Code:  ${code}\n`), stderr);
    assert.match(stderr, /^Hint: {2}Run the command as root, or as the owner of the file/m);
    assert.deepEqual(await readdir(folder), files);
  }
});
