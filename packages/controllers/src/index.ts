export { CloudNodeController } from "./cloud-node-controller.ts";
export { ClusterObjects, MANIFESTS } from "./cluster-objects.ts";
export { Elected } from "./elected.ts";
export { electionTimes, K3S_TIMES, KUBERNETES_TIMES, type ElectionTimes } from "./election-times.ts";
export { LeaderElection } from "./leader-election.ts";
export { ADDRESS_ANNOTATION_NAMES, addressAnnotations } from "./node-addresses.ts";
export { nodeArgumentAnnotations } from "./node-arguments.ts";
export { NodeMetadata, type NodeMetadataOptions } from "./node-metadata.ts";
