import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TransportName } from "@k3s/etcd-api";
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

type Start = (folder: string) => Promise<Database>;

const DATABASES = {
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
} as const satisfies Readonly<Record<string, Start>>;

/** The database is below the transport, which does not know it: the second transport has one of them. */
const RUNS: readonly { readonly label: string; readonly start: Start; readonly transport: TransportName }[] = [
  ...Object.entries(DATABASES).map(([label, start]) => ({ label, start, transport: "http2" as const })),
  { label: "SQLite", start: DATABASES.SQLite, transport: "grpc-js" },
];

const names = await listStorageTests();

for (const { label, start, transport } of RUNS) {
  describe(`kubernetes storage/etcd3 tests on ${label}, over ${transport}`, () => {
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
        const endpoint = database.endpoint(name.toLowerCase());
        const api = await startEtcdApi(folder, { endpoint, transport, ...WANTED[name] });
        t.after(() => api[Symbol.asyncDispose]());
        await runStorageTest(name, `http://127.0.0.1:${api.tcpPort}`, folder);
      });
    }
  });
}
