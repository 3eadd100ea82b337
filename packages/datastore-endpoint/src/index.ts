export { Datastore } from "./datastore.ts";
export { DatastoreMetrics } from "./datastore-metrics.ts";
export { findTlsProblems, type DatastoreTls } from "./datastore-tls.ts";
export { parseEndpoint, type Endpoint } from "./endpoint.ts";
export { EndpointError } from "./errors.ts";
export {
  checkEndpoint,
  inspectDatastore,
  openDatastore,
  sqliteFile,
  type DriverEndpoint,
  type SharedEndpoint,
} from "./open-datastore.ts";
export { redactEndpoint } from "./redact-endpoint.ts";
export type { SlowThresholds } from "./slow-statements.ts";
