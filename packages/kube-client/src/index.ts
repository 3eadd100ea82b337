export { ApiError, isConflict } from "./api-error.ts";
export { applyManifests } from "./apply-manifests.ts";
export { follow } from "./follow.ts";
export { loadKubeconfig } from "./kubeconfig.ts";
export { KubeClient, type KubeObject } from "./kube-client.ts";
export { kubeClientFromFiles, RenewableClient } from "./client-files.ts";
