export type { Dial } from "./dial.ts";
export { dialThrough } from "./dial-through.ts";
export { findProxy } from "./find-proxy.ts";
export { LoadBalancer, type Health } from "./load-balancer.ts";
export { LoadBalancerMetrics } from "./load-balancer-metrics.ts";
export { resetSocket } from "./reset-socket.ts";
export type { Server } from "./server-list.ts";
export { parseServerUrl } from "./server-address.ts";
