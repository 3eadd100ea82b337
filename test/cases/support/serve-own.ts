// Our API over SQLite as a process of its own. Its settings come as JSON in the first argument; it ends when its parent lets go.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";
import { MetricsRegistry, processMetrics } from "@k3s/metrics";
import type { OwnServerSettings } from "./own-server.ts";

const STOP_WITHIN_MS = 5000;

const settings = JSON.parse(process.argv[2] ?? "") as OwnServerSettings; // sound: written by own-server.ts
const { folder, port, transport, progressIntervalMs, watchBacklogBytes, backlogBytes } = settings;
const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
const metrics = new MetricsRegistry();
processMetrics(metrics);
const driver = await openSqliteDriver({ path: join(folder, "state.db"), log });
const store = await openStore(driver, { log });
const server = new EtcdApiServer({
  store: () => store,
  socketPath: settings.socketPath,
  tcp: { host: "127.0.0.1", port, tls: await readTls(settings.tls) },
  transport,
  metrics: () => metrics.text(),
  memberName: "case",
  progressIntervalMs,
  ...(watchBacklogBytes === undefined ? {} : { watchBacklogBytes }),
  backlogBytes,
  log,
});
await server.start({ signal: new AbortController().signal });

process.once("disconnect", () => void stop());
process.send?.(server.tcpPort);

async function stop(): Promise<void> {
  await server.stop(AbortSignal.timeout(STOP_WITHIN_MS));
  await store.close();
}

async function readTls(files: OwnServerSettings["tls"]) {
  if (files === undefined) return undefined;
  const [cert, key, clientCa] = await Promise.all(
    [files.cert, files.key, files.clientCa].map((file) => readFile(file, "utf8")),
  );
  return { cert: cert ?? "", key: key ?? "", clientCa };
}
