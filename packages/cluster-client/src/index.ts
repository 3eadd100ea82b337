export { ClusterClient, type NodeProof } from "./cluster-client.ts";
export { ClusterError } from "./errors.ts";
export { trustCluster, type ClusterTrust, type TrustOptions } from "./trust-cluster.ts";
