// The datastore as a process of its own, so that its memory can be told from that of the load.
import { join } from "node:path";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";

const folder = process.argv[2];
if (folder === undefined) throw new Error("Cannot serve: no folder given");
const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
const store = await openStore(await openSqliteDriver({ path: join(folder, "state.db"), log }), { log });
const server = new EtcdApiServer({
  store: () => store,
  socketPath: join(folder, "kine.sock"),
  memberName: "soak",
  log,
});
await server.start({ signal: new AbortController().signal });

process.once("disconnect", () => void stop());
process.send?.("ready");

/** The parent lets go of the channel when it is done, and when it dies. */
async function stop(): Promise<void> {
  await server.stop(AbortSignal.abort());
  await store.close();
}
