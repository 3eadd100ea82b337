export { adoptionConformance } from "./adoption-conformance.ts";
export { lostHistoryConformance } from "./lost-history-conformance.ts";
export { bulkDeleteConformance } from "./bulk-delete-conformance.ts";
export { claimConformance } from "./claim-conformance.ts";
export { CgroupBranch } from "./cgroup-branch.ts";
export { connectPair } from "./connect-pair.ts";
export { collectLog } from "./collect-log.ts";
export { lateCommitConformance, lostCommitConformance, openBehindProxy } from "./lost-commit-conformance.ts";
export { leaseRaceConformance } from "./lease-race-conformance.ts";
export { withCommit } from "./with-commit.ts";
export { driverConformance } from "./driver-conformance.ts";
export { ETCDCTLS, startEtcd, type EtcdctlProgram } from "./etcd.ts";
export { FaultProxy } from "./fault-proxy.ts";
export {
  compare,
  deleteRequest,
  int64Message,
  modEquals,
  putRequest,
  rangeRequest,
  readAnswer,
  readHeader,
  readLease,
  readWatch,
  txnOp,
  txnRequest,
  watchRequest,
  type Answer,
  type CompareArgs,
  type Event,
  type Header,
  type Kv,
  type Lease,
  type PutArgs,
  type RangeArgs,
  type TxnArgs,
  type WatchAnswer,
  type WatchArgs,
} from "./etcd-wire.ts";
export { freezeProcess } from "./freeze-process.ts";
export { freePort } from "./free-port.ts";
export { hostsConformance } from "./hosts-conformance.ts";
export { K3sServer } from "./k3s-server.ts";
export { KINE_INDEXES, kineTablesConformance } from "./kine-tables-conformance.ts";
export { KubeApiserver, type ApiAnswer } from "./kube-apiserver.ts";
export { MariaDbServer } from "./mariadb-server.ts";
export { openUntilWaiting, startGreeter } from "./mistaken-endpoint.ts";
export { NatsServer, type NatsServerOptions } from "./nats.ts";
export { COPIED_ROWS, insertOld, OLD_TABLE_ROWS, oldTableConformance } from "./old-table-conformance.ts";
export { lifeOf, oldValuesConformance } from "./old-values-conformance.ts";
export { assertOneCompacts } from "./one-compacts.ts";
export { outageConformance } from "./outage-conformance.ts";
export { PostgresServer, type PostgresOptions } from "./postgres-server.ts";
export { findProgram, Program } from "./programs.ts";
export { RawClient, type RawStream } from "./raw-client.ts";
export { Random } from "./random.ts";
export { readerConformance } from "./reader-conformance.ts";
export { besideKineConformance, KINE_INSERT } from "./beside-kine-conformance.ts";
export { severalServersConformance } from "./several-servers-conformance.ts";
export { FORBIDDING, refusalConformance } from "./refusal-conformance.ts";
export { SmallDisk } from "./small-disk.ts";
export {
  batchOf,
  contents,
  creations,
  isRefused,
  isUnavailable,
  query,
  rangeOf,
  remove,
  rowIds,
  write,
} from "./store-ops.ts";
export { SystemdHost, type Outcome } from "./systemd-host.ts";
export { TestHost } from "./test-host.ts";
export { TestNetwork } from "./test-network.ts";
export { DIST, writeImages } from "./test-images.ts";
export { startRegistry } from "./test-registry.ts";
export { largeBatchConformance } from "./large-batch-conformance.ts";
export { TurnCounter } from "./turn-counter.ts";
export { until } from "./until.ts";
export { WatchRecorder } from "./watch-recorder.ts";
