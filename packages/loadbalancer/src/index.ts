export { LoadBalancer, type Health } from "./load-balancer.ts";
export { LoadBalancerMetrics } from "./load-balancer-metrics.ts";
export { resetSocket } from "./reset-socket.ts";
export type { Server } from "./server-list.ts";
