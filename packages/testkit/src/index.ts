export { startEtcd, type Etcd } from "./etcd.ts";
export { freePort } from "./free-port.ts";
export { KubeApiserver, type ApiAnswer, type KubeApiserverOptions } from "./kube-apiserver.ts";
export { findProgram, Program, type ProgramOptions } from "./programs.ts";
export { type HostProcess, TestHost, type TestHostOptions } from "./test-host.ts";
export { TestNetwork } from "./test-network.ts";
export { until } from "./until.ts";
