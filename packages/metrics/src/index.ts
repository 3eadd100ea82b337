export { Counter } from "./counter.ts";
export { Gauge } from "./gauge.ts";
export { exponentialBuckets, Histogram } from "./histogram.ts";
export type { Labels, MetricOptions } from "./metric.ts";
export { processMetrics } from "./process-metrics.ts";
export { MetricsRegistry, METRICS_CONTENT_TYPE } from "./metrics-registry.ts";
