export { ClusterClient } from "./cluster-client.ts";
export { ClusterError } from "./errors.ts";
export { isForeign } from "./is-foreign.ts";
export { trustCluster, type ClusterTrust } from "./trust-cluster.ts";
