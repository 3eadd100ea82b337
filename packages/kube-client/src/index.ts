export { ApiError, isConflict } from "./api-error.ts";
export { applyManifests } from "./apply-manifests.ts";
export { follow, type Followed } from "./follow.ts";
export { KubeClient, type KubeClientOptions, type KubeObject, type PatchType } from "./kube-client.ts";
export { kubeClientFromFiles, type ClientFiles } from "./client-files.ts";
