import { exponentialBuckets, Gauge, Histogram, type MetricsRegistry } from "@k3s/metrics";
import type { Server } from "./server-list.ts";
import { rankOf } from "./server-state.ts";

type Servers = () => readonly Server[];

/** k3s's metrics of all load balancers of a process. */
export class LoadBalancerMetrics {
  readonly #connections: Gauge<"name" | "server">;
  readonly #health: Gauge<"name" | "server">;
  readonly #dials: Histogram<"name" | "status">;
  readonly #balancers = new Map<string, Servers>();

  /** Once per registry. */
  constructor(registry: MetricsRegistry) {
    this.#connections = registry.add(
      new Gauge({
        name: "k3s_loadbalancer_server_connections",
        help: "Open connections of the load balancer to a server",
        labels: ["name", "server"],
      }),
    );
    this.#health = registry.add(
      new Gauge({
        name: "k3s_loadbalancer_server_health",
        help: "State of a server: 1 failed, 2 standby, 3 unchecked, 4 recovering, 5 healthy, 6 preferred, 7 active",
        labels: ["name", "server"],
      }),
    );
    this.#dials = registry.add(
      new Histogram({
        name: "k3s_loadbalancer_dial_duration_seconds",
        help: "Time taken to connect to a server",
        labels: ["name", "status"],
        buckets: exponentialBuckets(0.001, 2, 15),
      }),
    );
    registry.beforeText(() => this.#refresh());
  }

  /** Shows the servers of a load balancer whenever somebody asks. */
  track(name: string, servers: Servers): void {
    this.#balancers.set(name, servers);
  }

  dialled(name: string, status: "success" | "error", durationMs: number): void {
    this.#dials.observe({ name, status }, durationMs / 1000);
  }

  #refresh(): void {
    this.#connections.clear();
    this.#health.clear();
    for (const [name, servers] of this.#balancers)
      for (const { address: server, connections, state } of servers()) {
        this.#connections.set({ name, server }, connections);
        this.#health.set({ name, server }, rankOf(state));
      }
  }
}
