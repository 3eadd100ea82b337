export { LoadBalancerError } from "./errors.ts";
export type { Loopback } from "./listen.ts";
export { LoadBalancer, type Health, type HealthCheck, type LoadBalancerOptions } from "./load-balancer.ts";
export { LoadBalancerMetrics } from "./load-balancer-metrics.ts";
export type { Server } from "./server-list.ts";
export type { ServerState } from "./server-state.ts";
