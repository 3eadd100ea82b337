import { join } from "node:path";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";

export interface EtcdApiOnSqlite extends AsyncDisposable {
  readonly tcpPort: number;
  readonly databaseFile: string;
}

const STOP_WITHIN_MS = 5000;

/** The product's datastore in `folder`: `kine.sock` and a loopback port in front of a new SQLite file. */
export async function startEtcdApi(folder: string): Promise<EtcdApiOnSqlite> {
  await using undo = new AsyncDisposableStack();
  const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
  const databaseFile = join(folder, "db", "state.db");
  const store = await openStore(await openSqliteDriver({ path: databaseFile, log }), { log, healthKey: false });
  undo.defer(() => store.close());
  const server = new EtcdApiServer({
    store: () => store,
    socketPath: join(folder, "kine.sock"),
    tcp: { host: "127.0.0.1", port: 0 },
    memberName: "node1",
    log,
  });
  undo.defer(() => server.stop(AbortSignal.timeout(STOP_WITHIN_MS)));
  await server.start({ signal: AbortSignal.timeout(STOP_WITHIN_MS) });
  const running = undo.move();
  return { tcpPort: server.tcpPort, databaseFile, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
