import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext } from "node:test";
import { openStore, type OpenStore } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import { createLogger, type Logger } from "@k3s/log";
import { Backlog } from "../../src/backlog.ts";
import { EtcdApiServer, type EtcdApiServerOptions } from "../../src/etcd-api-server.ts";
import type { ServiceContext } from "../../src/service-context.ts";
import type { TransportName } from "../../src/transport.ts";
import { RawClient } from "@k3s/testkit";

export interface TestApi {
  readonly store: OpenStore;
  readonly server: EtcdApiServer;
  readonly client: RawClient;
  /** A client with a connection of its own. */
  readonly connect: () => RawClient;
  readonly folder: string;
  readonly socketPath: string;
}

export const quietLog: Logger = createLogger({
  level: "error",
  format: "text",
  write: (line) => process.stderr.write(line),
});

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-api-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** An empty store at revision 1. */
export async function emptyStore(t: TestContext, folder: string): Promise<OpenStore> {
  const driver = await openSqliteDriver({ path: join(folder, "state.db"), log: quietLog });
  const store = await openStore(driver, { log: quietLog });
  t.after(() => store.close());
  return store;
}

const NO_LIMIT = 1 << 30;

/** What the services of a server on that store are given, without limits unless told. */
export function serviceContext(store: OpenStore, options: Partial<ServiceContext> = {}): ServiceContext {
  return {
    store,
    log: quietLog,
    signal: new AbortController().signal,
    member: { name: "node1", peerUrls: [], clientUrls: [] },
    progressIntervalMs: 1000,
    watchBacklogBytes: NO_LIMIT,
    backlog: new Backlog(NO_LIMIT),
    header: (revision) => ({ clusterId: 1n, memberId: 1n, revision, raftTerm: 1 }),
    ...options,
  };
}

export type StartApi = (t: TestContext, options?: Partial<EtcdApiServerOptions>) => Promise<TestApi>;

const TRANSPORTS: readonly TransportName[] = ["http2", "grpc-js"];

/** Declares the same tests once per transport; they start their API with the function they are given. */
export function onEachTransport(declare: (startApi: StartApi, transport: TransportName) => void): void {
  for (const transport of TRANSPORTS)
    describe(`over ${transport}`, () => declare((t, options) => startApi(t, { transport, ...options }), transport));
}

/** An empty store at revision 1 behind a real server on a unix socket, and a client of it. */
export async function startApi(t: TestContext, options: Partial<EtcdApiServerOptions> = {}): Promise<TestApi> {
  const folder = await temporaryFolder(t);
  const store = await emptyStore(t, folder);
  const socketPath = join(folder, "kine.sock");
  const server = new EtcdApiServer({ store: () => store, socketPath, memberName: "node1", log: quietLog, ...options });
  await server.start({ signal: new AbortController().signal });
  t.after(() => server.stop(AbortSignal.timeout(2000)));
  const connect = () => new RawClient(t, `unix:${socketPath}`);
  return { store, server, client: connect(), connect, folder, socketPath };
}
