export { kubeApiserver, kubeControllerManager, kubeScheduler } from "./control-plane-children.ts";
export { loggingFlags, type ControlPlaneOptions } from "./control-plane-options.ts";
export { existsIn, kubernetesMinor, selectFlags, type Lifetimes } from "./flag-lifetime.ts";
export { KubernetesEndpoint, type ServingAddresses } from "./kubernetes-endpoint.ts";
export { lastArg, listenerAddress, type ListenerAddress } from "./listener-address.ts";
export { mergeArgs, takeUserArg } from "./merge-args.ts";
