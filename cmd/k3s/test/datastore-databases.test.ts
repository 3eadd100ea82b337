import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";
import { run, temporaryFolder } from "./cli-process.ts";
import { etcdctl, serveDatastore } from "./datastore-server.ts";

interface Database {
  readonly name: string;
  /** Starts one of its own; resolves with its endpoint. It is gone after the test. */
  readonly start: (t: TestContext) => Promise<string>;
}

const databases: readonly Database[] = [
  {
    name: "MariaDB",
    start: async (t) => {
      const server = await MariaDbServer.start({ folder: await temporaryFolder(t) });
      t.after(() => server[Symbol.asyncDispose]());
      return `mysql://root@tcp(127.0.0.1:${server.port})/kine`;
    },
  },
  {
    name: "PostgreSQL",
    start: async (t) => {
      const server = await PostgresServer.start({ folder: await temporaryFolder(t) });
      t.after(() => server[Symbol.asyncDispose]());
      return `postgres://postgres@127.0.0.1:${server.port}/kine`;
    },
  },
  {
    name: "NATS",
    start: async (t) => {
      const server = await NatsServer.start(await temporaryFolder(t));
      t.after(() => server.stop());
      return `nats://${server.endpoint}?revHistory=20`;
    },
  },
];

for (const { name, start } of databases) {
  describe(`k3s datastore on ${name}`, () => {
    test("O8 two servers are one etcd, and the tools see what they keep", async (t) => {
      const endpoint = await start(t);
      const [a, b] = [
        await serveDatastore(t, [`--endpoint=${endpoint}`]),
        await serveDatastore(t, [`--endpoint=${endpoint}`]),
      ];
      const [onA, onB] = [`--endpoints=${a.endpoint}`, `--endpoints=${b.endpoint}`];
      await etcdctl([onA, "put", "/a", "1"]);
      assert.equal(await etcdctl([onB, "get", "/a"]), "/a\n1\n");
      await etcdctl([onB, "put", "/a", "2"]);
      assert.equal(await etcdctl([onA, "get", "/a"]), "/a\n2\n");
      for (let i = 0; i < 5; i++) await etcdctl([onA, "put", "/b", String(i)]);

      // Both read the same database: what differs are the names of the members.
      const hash = async (on: string) => /"hash":(\d+)/.exec(await etcdctl([on, "endpoint", "hashkv", "-w=json"]))?.[1];
      assert.ok(Number(await hash(onA)) > 0);
      assert.equal(await hash(onB), await hash(onA));
      await assert.rejects(
        etcdctl([onA, "snapshot", "save", join(await temporaryFolder(t), "snapshot.db")]),
        /a snapshot of this datastore is made with the tools of its database/,
      );

      const tool = (...args: string[]) => run(t, ["datastore", ...args, `--endpoint=${endpoint}`]);
      const status = await tool("status");
      assert.equal(status.code, 0, status.stderr);
      assert.match(status.stdout, /^keys: +2$/m);
      assert.match(status.stdout, /^integrity: +rows are consistent, /m);
      const check = await tool("check");
      assert.equal(check.code, 0, check.stdout + check.stderr);
      const dump = await tool("dump", "--prefix=/b");
      assert.match(dump.stdout, /^\/b\trevision \d+\t1 bytes\n$/);
      const revision = Number(/revision (\d+)/.exec(dump.stdout)?.[1]);
      const compact = await tool("compact", `--revision=${revision - 1}`);
      assert.equal(compact.code, 0, compact.stderr);
      assert.match(compact.stdout, /rows removed$/m);
      await assert.rejects(etcdctl([onB, "get", "/b", `--rev=${revision - 2}`]), /has been compacted/);
      assert.equal(await etcdctl([onA, "get", "/b"]), "/b\n4\n");
      for (const server of [a, b]) assert.equal(await server.stop(), 0, server.log());
    });
  });
}

describe("k3s datastore without its database", () => {
  for (const scheme of [
    "mysql://root@tcp(127.0.0.1:1)/kine",
    "postgres://postgres@127.0.0.1:1/kine",
    "nats://127.0.0.1:1",
  ])
    test(`${scheme}: a tool ends with the cause and the cure`, async (t) => {
      const status = await run(t, ["datastore", "status", `--endpoint=${scheme}`]);
      assert.equal(status.code, 1);
      assert.match(status.stderr, /ERR_DATASTORE_UNREACHABLE/);
      assert.match(status.stderr, /ECONNREFUSED/);
      assert.match(status.stderr, /^Hint: +Look whether/m);
    });
});
