import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";
import { startEtcdApi } from "./etcd-api-on-endpoint.ts";
import { listStorageTests, runStorageTest } from "./kubernetes-storage-tests.ts";

/** What a test wants from the server it would start itself. */
const WANTED: Readonly<Record<string, { readonly progressIntervalMs: number }>> = {
  TestProgressNotify: { progressIntervalMs: 1000 },
};

interface Database {
  /** `--datastore-endpoint` of an empty datastore, another one for each name. */
  readonly endpoint: (name: string) => string;
  readonly stop: () => Promise<void>;
}

const DATABASES: Readonly<Record<string, (folder: string) => Promise<Database>>> = {
  SQLite: (folder) =>
    Promise.resolve({ endpoint: (name) => `sqlite://${join(folder, name)}.db`, stop: () => Promise.resolve() }),
  MariaDB: async (folder) => {
    const server = await MariaDbServer.start({ folder });
    return {
      endpoint: (name) => `mysql://root@tcp(127.0.0.1:${server.port})/${name}`,
      stop: () => server.stop(),
    };
  },
  PostgreSQL: async (folder) => {
    const server = await PostgresServer.start({ folder, settings: ["fsync=off"] }); // else each new database takes a second
    return {
      endpoint: (name) => `postgres://postgres@127.0.0.1:${server.port}/${name}`,
      stop: () => server.stop(),
    };
  },
  NATS: async (folder) => {
    const server = await NatsServer.start(folder, { config: "max_payload: 4MB" });
    return { endpoint: (name) => `nats://${server.endpoint}?bucket=${name}`, stop: () => server.stop() };
  },
};

const names = await listStorageTests();

for (const [label, start] of Object.entries(DATABASES)) {
  describe(`kubernetes storage/etcd3 tests on ${label}`, () => {
    const undo = new AsyncDisposableStack();
    after(() => undo.disposeAsync());
    let folder = "";
    let database: Database;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "k3s-storage-tests-"));
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      database = await start(folder);
      undo.defer(() => database.stop());
    });

    for (const name of names) {
      test(name, async (t) => {
        const api = await startEtcdApi(folder, { endpoint: database.endpoint(name.toLowerCase()), ...WANTED[name] });
        t.after(() => api[Symbol.asyncDispose]());
        await runStorageTest(name, `http://127.0.0.1:${api.tcpPort}`, folder);
      });
    }
  });
}
