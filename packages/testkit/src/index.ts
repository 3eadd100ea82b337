export { driverConformance } from "./driver-conformance.ts";
export { startEtcd } from "./etcd.ts";
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
export { freePort } from "./free-port.ts";
export { DIST, K3sServer } from "./k3s-server.ts";
export { KubeApiserver, type ApiAnswer } from "./kube-apiserver.ts";
export { MariaDbServer } from "./mariadb-server.ts";
export { NatsServer, type NatsServerOptions } from "./nats.ts";
export { PostgresServer } from "./postgres-server.ts";
export { findProgram, Program } from "./programs.ts";
export { RawClient, type RawStream } from "./raw-client.ts";
export { Random } from "./random.ts";
export { SmallDisk } from "./small-disk.ts";
export { TestHost } from "./test-host.ts";
export { TestNetwork } from "./test-network.ts";
export { startRegistry } from "./test-registry.ts";
export { until } from "./until.ts";
