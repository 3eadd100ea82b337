/** Names of the manifests that a server applies before anything else. */
export const MANIFESTS: readonly string[] = ["rolebindings.yaml"];
