import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore, type Store } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";

/** A server that can be checked, until it is disposed of. */
export interface ServerUnderTest extends AsyncDisposable {
  /** As gRPC names it. */
  readonly target: string;
}

const STOP_WITHIN_MS = 5000;
/** Quiet watches hear of the revision as often as they would in an hour. */
const PROGRESS_INTERVAL_MS = 50;

/** A new store on SQLite behind the etcd API in this process; `wrap` may put something between the two. */
export async function startStoreServer(wrap: (store: Store) => Store = (store) => store): Promise<ServerUnderTest> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "k3s-consistency-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
  const store = await openStore(await openSqliteDriver({ path: join(folder, "state.db"), log }), { log });
  undo.defer(() => store.close());
  const wrapped = wrap(store);
  const socketPath = join(folder, "kine.sock");
  const progressIntervalMs = PROGRESS_INTERVAL_MS;
  const server = new EtcdApiServer({
    store: () => wrapped,
    socketPath,
    memberName: "checked",
    progressIntervalMs,
    log,
  });
  undo.defer(() => server.stop(AbortSignal.timeout(STOP_WITHIN_MS)));
  await server.start({ signal: AbortSignal.timeout(STOP_WITHIN_MS) });
  const running = undo.move();
  return { target: `unix:${socketPath}`, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
