// Our datastore as a process of its own, so that its memory and its processor time can be told from those of the load.
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";

const NANOSECONDS_PER_MS = 1e6;
const folder = process.argv[2];
if (folder === undefined) throw new Error("Cannot serve: no folder given");
const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
const store = await openStore(await openSqliteDriver({ path: join(folder, "state.db"), log }), { log });
const server = new EtcdApiServer({
  store: () => store,
  socketPath: join(folder, "kine.sock"),
  tcp: { host: "127.0.0.1", port: 0 },
  memberName: "bench",
  log,
});
await server.prepare();
await server.start({ signal: new AbortController().signal });
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

process.on("message", () => {
  process.send?.(delay.max / NANOSECONDS_PER_MS);
  delay.reset();
});
process.once("disconnect", () => void stop());
process.send?.(`127.0.0.1:${server.tcpPort}`);

/** The parent lets go of the channel when it is done, and when it dies. */
async function stop(): Promise<void> {
  delay.disable();
  await server.stop(AbortSignal.abort());
  await store.close();
}
