// The etcd API over an empty store as a process of its own, which reports its processor time when asked.
import { join } from "node:path";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";

const [, , folder, transport] = process.argv;
if (folder === undefined || (transport !== "http2" && transport !== "grpc-js"))
  throw new Error("Cannot serve: no folder and transport given");
const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
const store = await openStore(await openSqliteDriver({ path: join(folder, "state.db"), log }), { log });
const server = new EtcdApiServer({
  store: () => store,
  socketPath: join(folder, "kine.sock"),
  memberName: "bench",
  transport,
  log,
});
await server.start({ signal: new AbortController().signal });

process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() });
});
process.once("disconnect", () => void stop());
process.send?.("ready");

/** The parent lets go of the channel when it is done, and when it dies. */
async function stop(): Promise<void> {
  await server.stop(AbortSignal.abort());
  await store.close();
}
