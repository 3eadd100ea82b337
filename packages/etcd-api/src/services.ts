import { createHash } from "node:crypto";
import type { Store } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { authService } from "./auth-service.ts";
import { clusterService } from "./cluster-service.ts";
import { healthService } from "./health-service.ts";
import { kvService } from "./kv-service.ts";
import { leaseService } from "./lease-service.ts";
import { maintenanceService } from "./maintenance-service.ts";
import type { MessageStream, Method, MethodTable } from "./method.ts";
import { Code, RpcError, toRpcError } from "./rpc-error.ts";
import type { ServiceContext, ServiceOptions } from "./service-context.ts";
import { watchService } from "./watch-service.ts";

/** Ids only have to be stable and non-zero; every server of one database is a member of the same cluster. */
const CLUSTER_ID = stableId("k3s datastore");
const RAFT_TERM = 1;
const PROGRESS_INTERVAL_MS = 5000;
const WATCH_BACKLOG_BYTES = 64 << 20;

/** The etcd v3 API over `store` as a table of methods, to be served by any transport. */
export function createServices(store: Store, options: ServiceOptions): MethodTable {
  const memberId = stableId(`member ${options.member.name}`);
  const context: ServiceContext = {
    progressIntervalMs: PROGRESS_INTERVAL_MS,
    watchBacklogBytes: WATCH_BACKLOG_BYTES,
    ...options,
    store,
    header: (revision) => ({ clusterId: CLUSTER_ID, memberId, revision, raftTerm: RAFT_TERM }),
  };
  const services = [
    kvService,
    watchService,
    leaseService,
    maintenanceService,
    clusterService,
    authService,
    healthService,
  ];
  const methods = services.flatMap((service) => service(context));
  return new Map(methods.map(([path, method]) => [path, guard(path, method, options.log)]));
}

/** Makes a handler reject with RpcError only. A bug is logged here and answered without its details. */
function guard(path: string, method: Method, log: Logger): Method {
  const fail = (error: unknown): never => {
    const known = toRpcError(error);
    if (known !== undefined) throw known;
    log.error({ error, path }, "call failed unexpectedly");
    throw new RpcError(Code.unknown, "etcdserver: unexpected failure, see the log of the server", { cause: error });
  };
  if (method.kind === "unary") {
    const { handle } = method;
    return { kind: "unary", handle: async (request, call) => handle(request, call).catch(fail) };
  }
  const { handle } = method;
  return {
    kind: "stream",
    handle: async (stream) => handle(stream).catch((error: unknown) => fail(endOf(stream, error))),
  };
}

/** A client that leaves in the middle of an answer is no bug of ours. */
function endOf({ signal }: MessageStream, error: unknown): unknown {
  return signal.aborted && error === signal.reason ? RpcError.abandoned() : error;
}

function stableId(text: string): bigint {
  const id = createHash("sha256").update(text).digest().readBigUInt64BE();
  return id === 0n ? 1n : id;
}
