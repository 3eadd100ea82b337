// A server of its own process, to be killed. Its settings come as JSON in the first argument.
import { openStore } from "@k3s/datastore";
import { openDatastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { EtcdApiServer } from "@k3s/etcd-api";
import { armFailpoints } from "@k3s/failpoints";
import { createLogger } from "@k3s/log";
import { driverSeeds } from "../seeds/driver-seeds.ts";
import type { ServerSettings } from "./server-process.ts";

const OPEN_LIMIT_MS = 60_000;

const settings = JSON.parse(process.argv[2] ?? "") as ServerSettings; // sound: written by ServerProcess
armFailpoints(settings.failpoints);
const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
const endpoint = parseEndpoint(settings.endpoint);
if (endpoint.kind === "etcd") throw new Error("Cannot serve an etcd: clients talk to it themselves");
const { folder } = settings;
const driver = await openDatastore({ endpoint, folder, tls: {}, log, signal: AbortSignal.timeout(OPEN_LIMIT_MS) });
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
