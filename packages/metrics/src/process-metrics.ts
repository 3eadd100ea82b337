import { readdir } from "node:fs/promises";
import { Counter } from "./counter.ts";
import { Gauge } from "./gauge.ts";
import type { MetricsRegistry } from "./metrics-registry.ts";

/** Adds what every exporter tells of its process, under Prometheus' standard names. */
export function processMetrics(registry: MetricsRegistry): void {
  const gauge = (name: string, help: string) => registry.add(new Gauge({ name, help }));
  const cpu = registry.add(
    new Counter({ name: "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds" }),
  );
  const resident = gauge("process_resident_memory_bytes", "Resident memory size in bytes");
  const started = gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds");
  const files = gauge("process_open_fds", "Number of open file descriptors");
  const heap = gauge("nodejs_heap_size_used_bytes", "Bytes used of the heap of the main thread");
  const startedAt = Math.round(performance.timeOrigin) / 1000;
  registry.beforeText(async () => {
    const { user, system } = process.cpuUsage();
    cpu.raiseTo({}, (user + system) / 1e6);
    const { rss, heapUsed } = process.memoryUsage();
    resident.set({}, rss);
    heap.set({}, heapUsed);
    started.set({}, startedAt);
    files.set({}, (await readdir("/proc/self/fd")).length);
  });
}
