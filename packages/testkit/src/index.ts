export { driverConformance } from "./driver-conformance.ts";
export { startEtcd } from "./etcd.ts";
export { freePort } from "./free-port.ts";
export { DIST, K3sServer } from "./k3s-server.ts";
export { KubeApiserver, type ApiAnswer } from "./kube-apiserver.ts";
export { findProgram } from "./programs.ts";
export { TestHost } from "./test-host.ts";
export { TestNetwork } from "./test-network.ts";
export { until } from "./until.ts";
