import { join } from "node:path";
import { openStore, type Store } from "@k3s/datastore";
import { openDatastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { EtcdApiServer, type TransportName } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";
import { MetricsRegistry, processMetrics } from "@k3s/metrics";

/** What carries the API: our own HTTP/2 layer, and @grpc/grpc-js. */
export const TRANSPORTS: readonly TransportName[] = ["http2", "grpc-js"];

export interface EtcdApiOnEndpoint extends AsyncDisposable {
  readonly tcpPort: number;
  /** What is behind it. */
  readonly store: Store;
}

export interface EtcdApiOptions {
  /** As for --datastore-endpoint; default: a SQLite file `db/state.db` in the folder. */
  readonly endpoint?: string;
  /** Default: that of the product. */
  readonly transport?: TransportName;
  /** Between two signs of life of a watch; default: that of the product. */
  readonly progressIntervalMs?: number;
}

const OPEN_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 5000;

/** The product's datastore: `kine.sock` in `folder` and a loopback port in front of a database. */
export async function startEtcdApi(folder: string, options: EtcdApiOptions = {}): Promise<EtcdApiOnEndpoint> {
  const { endpoint: text = "", ...limits } = options;
  await using undo = new AsyncDisposableStack();
  const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
  const endpoint = parseEndpoint(text);
  if (endpoint.kind === "etcd") throw new Error("Cannot serve an etcd: it serves itself");
  const driver = await openDatastore({ endpoint, folder, tls: {}, log, signal: AbortSignal.timeout(OPEN_WITHIN_MS) });
  const store = await openStore(driver, { log });
  undo.defer(() => store.close());
  const metrics = new MetricsRegistry();
  processMetrics(metrics);
  const server = new EtcdApiServer({
    ...limits,
    metrics: () => metrics.text(),
    store: () => store,
    socketPath: join(folder, "kine.sock"),
    tcp: { host: "127.0.0.1", port: 0 },
    memberName: "node1",
    log,
  });
  undo.defer(() => server.stop(AbortSignal.timeout(STOP_WITHIN_MS)));
  await server.start({ signal: AbortSignal.timeout(STOP_WITHIN_MS) });
  const running = undo.move();
  return { tcpPort: server.tcpPort, store, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
