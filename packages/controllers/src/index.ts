export { CloudNodeController } from "./cloud-node-controller.ts";
export { ClusterObjects } from "./cluster-objects.ts";
export { addressAnnotations } from "./node-addresses.ts";
export { nodeArgumentAnnotations } from "./node-arguments.ts";
export { NodeMetadata, type NodeMetadataOptions } from "./node-metadata.ts";
