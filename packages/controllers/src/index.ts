export { CloudNodeController } from "./cloud-node-controller.ts";
export { ClusterObjects, type ClusterObjectsOptions } from "./cluster-objects.ts";
export { addressAnnotations, type OwnAddresses } from "./node-addresses.ts";
export { nodeArgumentAnnotations } from "./node-arguments.ts";
export { NodeMetadata, type NodeMetadataOptions } from "./node-metadata.ts";
