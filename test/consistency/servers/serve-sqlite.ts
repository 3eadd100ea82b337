// A server of its own process, to be killed. Its settings come as JSON in the first argument.
import { join } from "node:path";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { armFailpoints } from "@k3s/failpoints";
import { createLogger } from "@k3s/log";
import { driverSeeds } from "../seeds/driver-seeds.ts";
import type { SqliteServerSettings } from "./server-process.ts";

const settings = JSON.parse(process.argv[2] ?? "") as SqliteServerSettings; // sound: written by ServerProcess
armFailpoints(settings.failpoints);
const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
const driver = await openSqliteDriver({ path: join(settings.folder, "state.db"), log });
const seeded = settings.seed === undefined ? driver : driverSeeds[settings.seed](driver);
const store = await openStore(seeded, { log });
const server = new EtcdApiServer({
  store: () => store,
  socketPath: settings.socketPath,
  memberName: "checked",
  progressIntervalMs: 50,
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
