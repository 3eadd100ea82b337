export { differences, type Difference } from "./critical-fields.ts";
export { encodeClusterConfig, type ClusterFacts } from "./encode-cluster-config.ts";
export { ClusterConfigError } from "./errors.ts";
export { parseClusterConfig, type ClusterConfig } from "./parse-cluster-config.ts";
