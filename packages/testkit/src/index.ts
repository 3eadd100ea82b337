export { type HostProcess, TestHost, type TestHostOptions } from "./test-host.ts";
export { TestNetwork } from "./test-network.ts";
export { until } from "./until.ts";
